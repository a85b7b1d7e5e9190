"""PPO from TorchRL's parts (Bou et al. 2023): its collector, GAE and ``ClipPPOLoss``, put together as in its tutorials.

It plays the discrete form of the game: an ``EnvBase`` around the whole batch, or ``PettingZooWrapper`` around every
game, in a ``SerialEnv``.

Shapes: N games, A seats, T steps, R rows, F features, H parts of the action, P outputs of the network.
"""

import importlib
import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from headctl.run.peers.games import BatchedRows, DiscreteRows, face
from headctl.run.peers.streams import GlobalStream, kept_settings
from headctl.run.peers.work import BATCHED, Account, PeerMissingError, Tally, Work

_GROUP = "agents"


def make_torchrl(work: Work, route: str) -> "TorchRL":
    """Returns PPO from TorchRL's parts at work.

    Raises:
        PeerMissingError: It is not installed.
    """
    try:
        with kept_settings():
            importlib.import_module("torchrl")
            importlib.import_module("tensordict")
    except ImportError as error:
        raise PeerMissingError(f"{error}; pip install 'headctl[peers]'") from error
    return TorchRL(work, route)


class MultiCategorical(Distribution):
    """Independent Categoricals over the parts of a MultiDiscrete action, from their logits side by side."""

    arg_constraints: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType] - torch's own way to say that nothing is checked

    def __init__(self, logits: Tensor, nvec: tuple[int, ...]) -> None:
        """Takes the logits apart.

        Args:
            logits: ``[..., P]``.
            nvec: Choices of every part; they add up to P.
        """
        self._parts = [Categorical(logits=part, validate_args=False) for part in logits.split(nvec, dim=-1)]
        super().__init__(logits.shape[:-1], torch.Size([len(nvec)]), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draws actions ``[..., H]``."""
        return torch.stack([part.sample(sample_shape) for part in self._parts], dim=-1)

    @property
    def mode(self) -> Tensor:
        """The most likely action ``[..., H]``."""
        return torch.stack([part.probs.argmax(-1) for part in self._parts], dim=-1)

    @property
    def deterministic_sample(self) -> Tensor:
        """What TorchRL takes where nothing shall be drawn: the mode."""
        return self.mode

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns log-probabilities ``[...]``."""
        parts = zip(self._parts, value.unbind(-1), strict=True)
        return torch.stack([part.log_prob(taken) for part, taken in parts], dim=-1).sum(-1)

    def entropy(self) -> Tensor:
        """Returns entropies ``[...]``."""
        return torch.stack([part.entropy() for part in self._parts], dim=-1).sum(-1)


class TorchRL:
    """Satisfies :class:`headctl.run.peers.work.Contestant`."""

    def __init__(self, work: Work, route: str) -> None:
        """Makes environments, modules, collector and loss."""
        collectors = importlib.import_module("torchrl.collectors")
        objectives = importlib.import_module("torchrl.objectives")
        value = importlib.import_module("torchrl.objectives.value")
        self._work = work
        self._stream = GlobalStream(work.seed)
        self._many = route != BATCHED
        with self._stream.in_place(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._many:
                env, nvec, self.features, seats = _wrapped_env(work)
                self.rows = work.games * seats
            else:
                env, nvec, self.features = _batched_env(work)
                self.rows = int(env.batch_size[0])
            work.gradient_steps(self.rows)
            self.outputs = sum(nvec)
            trunk, policy, critic = _modules(work, self.features, nvec, many=self._many)
            frames = work.steps * (work.games if self._many else self.rows)
            collector = getattr(collectors, "Collector", None) or collectors.SyncDataCollector
            self._collector = collector(env, policy, frames_per_batch=frames, total_frames=-1)
            self._batches = iter(self._collector)
            self._loss = objectives.ClipPPOLoss(
                actor_network=policy,
                critic_network=critic,
                clip_epsilon=work.clip,
                entropy_coeff=work.entropy_coef,
                critic_coeff=work.value_coef,
                loss_critic_type="l2",
                normalize_advantage=True,
            )
            self._advantage = value.GAE(gamma=work.gamma, lmbda=work.gae_lambda, value_network=critic)
            if self._many:
                keys = {"action": (_GROUP, "action"), "value": (_GROUP, "state_value")}
                ends = {"reward": (_GROUP, "reward"), "done": (_GROUP, "done"), "terminated": (_GROUP, "terminated")}
                self._loss.set_keys(**keys, **ends, sample_log_prob=(_GROUP, "action_log_prob"))
                self._advantage.set_keys(value=(_GROUP, "state_value"), **ends)
            parameters = dict.fromkeys([*trunk.parameters(), *policy.parameters(), *critic.parameters()])
        self._optimizer = torch.optim.Adam(list(parameters), lr=work.learning_rate, eps=1e-5)
        self._parameters = list(parameters)
        self._tally = Tally(self._optimizer, work.minibatch)
        self._reward = float("nan")

    def iterate(self) -> None:
        """Plays one rollout and learns from it."""
        work = self._work
        with self._stream.in_place():
            data = next(self._batches)
            reward = data["next", _GROUP, "reward"] if self._many else data["next", "reward"]
            self._reward = float(reward.mean())
            self._tally.agent_steps += reward.numel()
            with torch.no_grad():
                self._advantage(data)
            flat = data.reshape(-1)
            games = work.minibatch * len(flat) // reward.numel()  # a game's agents stay together
            for _ in range(work.epochs):
                for index in torch.randperm(len(flat)).split(games):
                    losses = self._loss(flat[index])
                    loss = losses["loss_objective"] + losses["loss_critic"] + losses["loss_entropy"]
                    self._optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(self._parameters, work.max_grad_norm)
                    self._optimizer.step()

    def account(self) -> Account:
        """Returns what it has done so far."""
        return self._tally.account()

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        return self._reward

    def close(self) -> None:
        """Ends the collector and the environments."""
        self._collector.shutdown()


def _modules(work: Work, features: int, nvec: tuple[int, ...], *, many: bool) -> tuple[nn.Module, Any, Any]:
    """Returns the shared trunk, the policy and the value, which begin with that trunk.

    Args:
        work: Sizes.
        features: F.
        nvec: Choices of every part of the action.
        many: Whether the keys lie under the group of agents.
    """
    modules = importlib.import_module("torchrl.modules")
    nets = importlib.import_module("tensordict.nn")

    def key(name: str) -> Any:
        return (_GROUP, name) if many else name

    layers: list[nn.Module] = []
    width = features
    for size in work.hidden:
        layers += [nn.Linear(width, size), nn.Tanh()]
        width = size
    trunk = nets.TensorDictModule(nn.Sequential(*layers), in_keys=[key("observation")], out_keys=[key("hidden")])
    actor = nets.TensorDictModule(nn.Linear(width, sum(nvec)), in_keys=[key("hidden")], out_keys=[key("logits")])
    policy = modules.ProbabilisticActor(
        nets.TensorDictSequential(trunk, actor),
        in_keys=[key("logits")],
        out_keys=[key("action")],
        distribution_class=MultiCategorical,
        distribution_kwargs={"nvec": nvec},
        return_log_prob=True,
        log_prob_key=key("action_log_prob"),
    )
    head = modules.ValueOperator(nn.Linear(width, 1), in_keys=[key("hidden")], out_keys=[key("state_value")])
    return trunk, policy, nets.TensorDictSequential(trunk, head)


def _batched_env(work: Work) -> tuple[Any, tuple[int, ...], int]:
    """Returns an ``EnvBase`` with a batch of R agents."""
    envs = importlib.import_module("torchrl.envs")
    data = importlib.import_module("torchrl.data")
    tensordict = importlib.import_module("tensordict").TensorDict
    rows = DiscreteRows(BatchedRows(work), work.bins)
    nvec = tuple(int(size) for size in rows.nvec)
    size = (rows.rows,)
    base: Any = envs.EnvBase

    class BatchedEnv(base):
        def __init__(self) -> None:
            super().__init__(device="cpu", batch_size=torch.Size(size))
            self.observation_spec = data.Composite(
                observation=data.Unbounded((*size, rows.features), dtype=torch.float32), shape=size
            )
            self.action_spec = data.MultiCategorical(list(nvec), shape=(*size, len(nvec)))
            self.reward_spec = data.Unbounded((*size, 1), dtype=torch.float32)
            flag = data.Categorical(2, shape=(*size, 1), dtype=torch.bool)
            self.done_spec = data.Composite(
                done=flag.clone(), terminated=flag.clone(), truncated=flag.clone(), shape=size
            )
            self._now: Tensor | None = None

        def _reset(self, given: Any = None, **_: Any) -> Any:
            # The batch has begun ended games anew by itself: only what is seen after it is asked for here.
            if self._now is None or given is None or given.get("_reset", None) is None:
                self._now = torch.from_numpy(rows.reset(work.seed).observation.copy())
            return self._wrap(self._now)

        def _step(self, given: Any) -> Any:
            played = rows.step(given["action"].numpy())
            self._now = torch.from_numpy(played.seen.observation.copy())
            terminated, truncated = (
                torch.from_numpy(flag.copy()).unsqueeze(-1) for flag in (played.terminated, played.truncated)
            )
            out = self._wrap(torch.from_numpy(played.final_observation.copy()))
            out["reward"] = torch.from_numpy(played.reward.copy()).unsqueeze(-1)
            out["done"], out["terminated"], out["truncated"] = terminated | truncated, terminated, truncated
            return out

        def _wrap(self, observation: Tensor) -> Any:
            return tensordict({"observation": observation}, batch_size=size)

        def _set_seed(self, seed: int | None) -> None:
            del seed

    return BatchedEnv(), nvec, rows.features


def _wrapped_env(work: Work) -> tuple[Any, tuple[int, ...], int, int]:
    """Returns N wrapped PettingZoo environments, the parts of the action, F and A."""
    envs = importlib.import_module("torchrl.envs")
    make_env = face(work, discrete=True)
    probe = make_env()
    agents = list(probe.possible_agents)
    nvec = tuple(int(size) for size in probe.action_space(agents[0]).nvec)
    features = int(np.prod(probe.observation_space(agents[0]).shape))

    def make() -> Any:
        return envs.PettingZooWrapper(make_env(), group_map={_GROUP: agents}, use_mask=False)

    return envs.SerialEnv(work.games, make), nvec, features, len(agents)
