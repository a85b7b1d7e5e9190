"""Stable-Baselines3's PPO (Raffin et al. 2021).

It has no policy for a Dict of heads: it plays the discrete form of the game, one MultiDiscrete action without masks. On
the batched route through a ``VecEnv`` around the whole batch, through PettingZoo by SuperSuit, as its and PettingZoo's
documentation recommend.

Shapes: R rows, F features, H parts of the action.
"""

import importlib
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from headctl.run.peers.games import BatchedRows, DiscreteRows, face
from headctl.run.peers.streams import GlobalStream, kept_settings
from headctl.run.peers.work import BATCHED, Account, PeerMissingError, Tally, Work


def make_stable_baselines(work: Work, route: str) -> "StableBaselines":
    """Returns PPO at work.

    Raises:
        PeerMissingError: It, or SuperSuit for the way through PettingZoo, is not installed.
    """
    needed = ["stable_baselines3"] if route == BATCHED else ["stable_baselines3", "supersuit"]
    try:
        with kept_settings():
            for name in needed:
                importlib.import_module(name)
    except ImportError as error:
        raise PeerMissingError(f"{error}; pip install 'headctl[peers]'") from error
    return StableBaselines(work, route)


class StableBaselines:
    """Satisfies :class:`headctl.run.peers.work.Contestant`."""

    def __init__(self, work: Work, route: str) -> None:
        """Makes the environments and PPO."""
        library = importlib.import_module("stable_baselines3")
        self._stream = GlobalStream(work.seed)
        env = _batched_env(work) if route == BATCHED else _supersuit_env(work)
        self.rows, self.features = env.num_envs, int(np.prod(env.observation_space.shape))
        self.outputs = int(np.sum(env.action_space.nvec))
        work.gradient_steps(self.rows)
        with self._stream.in_place():
            self._model = library.PPO(
                "MlpPolicy",
                env,
                n_steps=work.steps,
                batch_size=work.minibatch,
                n_epochs=work.epochs,
                learning_rate=work.learning_rate,
                gamma=work.gamma,
                gae_lambda=work.gae_lambda,
                clip_range=work.clip,
                ent_coef=work.entropy_coef,
                vf_coef=work.value_coef,
                max_grad_norm=work.max_grad_norm,
                policy_kwargs=_network(work),
                device="cpu",
                verbose=0,
            )
            never = 10**12
            _, self._callback = self._model._setup_learn(never)  # noqa: SLF001 - learn() in parts: what it does itself
        self._tally = Tally(self._model.policy.optimizer, work.minibatch)
        self._batch = self.rows * work.steps

    def iterate(self) -> None:
        """Plays one rollout and learns from it: the body of the loop of PPO's ``learn``."""
        model = self._model
        with self._stream.in_place():
            model.collect_rollouts(model.env, self._callback, model.rollout_buffer, n_rollout_steps=model.n_steps)
            model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)  # noqa: SLF001 - as above
            model.train()
        self._tally.agent_steps = int(model.num_timesteps)

    def account(self) -> Account:
        """Returns what it has done so far."""
        return self._tally.account()

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        return float(self._model.rollout_buffer.rewards.mean())

    def close(self) -> None:
        """Closes the environments."""
        self._model.env.close()


def _network(work: Work) -> dict[str, Any]:
    """Returns the options of a policy whose trunk serves the value too.

    Since version 2 ``net_arch`` makes two towers; the trunk that both share is the features extractor, in front of
    them.
    """
    torch_layers = importlib.import_module("stable_baselines3.common.torch_layers")
    torch = importlib.import_module("torch")

    class Trunk(torch_layers.BaseFeaturesExtractor):
        """Linear layers with tanh, as in every other trainer of the comparison."""

        def __init__(self, observation_space: spaces.Box) -> None:
            super().__init__(observation_space, work.hidden[-1])
            layers: list[Any] = []
            width = int(np.prod(observation_space.shape))
            for size in work.hidden:
                layers += [torch.nn.Linear(width, size), torch.nn.Tanh()]
                width = size
            self.trunk = torch.nn.Sequential(*layers)

        def forward(self, observation: Any) -> Any:
            return self.trunk(observation)

    return {"net_arch": [], "features_extractor_class": Trunk}


def _batched_env(work: Work) -> Any:
    """Returns a ``VecEnv`` that steps the whole batch in one call."""
    base: Any = importlib.import_module("stable_baselines3.common.vec_env.base_vec_env").VecEnv
    rows = DiscreteRows(BatchedRows(work), work.bins)

    class BatchedEnv(base):
        def __init__(self) -> None:
            box = spaces.Box(-np.inf, np.inf, (rows.features,), np.float32)
            super().__init__(rows.rows, box, spaces.MultiDiscrete(rows.nvec))
            self._actions: NDArray[np.int64] | None = None

        def reset(self) -> NDArray[np.float32]:
            return rows.reset(work.seed).observation.copy()

        def step_async(self, actions: NDArray[np.int64]) -> None:
            self._actions = actions

        def step_wait(self) -> Any:
            played = rows.step(np.asarray(self._actions))
            done = played.terminated | played.truncated
            infos: list[dict[str, Any]] = [{} for _ in range(rows.rows)]
            for row in np.flatnonzero(done):
                infos[row]["terminal_observation"] = played.final_observation[row].copy()
                infos[row]["TimeLimit.truncated"] = bool(played.truncated[row])
            return played.seen.observation.copy(), played.reward.copy(), done, infos

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ARG002 - its signature
            return [None] * len(list(self._get_indices(indices)))

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            pass

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:  # noqa: ARG002 - its signature
            return [None] * len(list(self._get_indices(indices)))

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002 - its signature
            return [False] * len(list(self._get_indices(indices)))

    return BatchedEnv()


def _supersuit_env(work: Work) -> Any:
    """Returns PettingZoo environments as SuperSuit hands them to Stable-Baselines3, in this process."""
    supersuit = importlib.import_module("supersuit")
    one = supersuit.pettingzoo_env_to_vec_env_v1(face(work, discrete=True)())
    return supersuit.concat_vec_envs_v1(one, work.games, num_cpus=1, base_class="stable_baselines3")
