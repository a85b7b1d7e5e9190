"""PufferLib's trainer, ``PuffeRL`` 3.0 (Suarez 2024).

It plays the discrete form of the game: a native ``PufferEnv`` around the whole batch, or its PettingZoo emulation, one
object per game, in its ``Serial`` vectorisation. Its advantages come from a compiled extension, which wheels without
CUDA cannot load; the same recursion, compiled by Numba, stands in for it then. It computes them anew for every
minibatch and draws sequences with priorities: work that the other trainers do not do, by its own design.

Shapes: R rows, T steps, F features, H parts of the action.
"""

import contextlib
import importlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from headctl.run.peers.games import BatchedRows, DiscreteRows, face
from headctl.run.peers.streams import GlobalStream, kept_settings
from headctl.run.peers.work import BATCHED, Account, PeerMissingError, Tally, Work


def make_puffer(work: Work, route: str) -> "Puffer":
    """Returns PuffeRL at work.

    Raises:
        PeerMissingError: It is not installed, or not as far as it is needed.
    """
    try:
        with kept_settings(), contextlib.redirect_stderr(io.StringIO()):
            trainer: Any = importlib.import_module("pufferlib.pufferl")
            importlib.import_module("pufferlib.emulation")
    except ImportError as error:
        raise PeerMissingError(f"{error}; docs/performance.md says how to install pufferlib-core") from error
    if not getattr(trainer, "_C_AVAILABLE", True):
        try:
            trainer.compute_puff_advantage = _numba_advantage()
        except ImportError as error:
            raise PeerMissingError(f"its extension cannot be loaded, and what replaces it: {error}") from error
    return Puffer(work, route, trainer)


def _numba_advantage() -> Any:
    """Returns ``compute_puff_advantage`` of PufferLib's ``extensions/pufferlib.cpp``, compiled by Numba."""
    numba = importlib.import_module("numba")

    @numba.njit(fastmath=False)
    def rows(arrays: Any, knobs: Any) -> None:
        values, rewards, dones, ratio, out = arrays
        gamma, lam, rho_max, c_max = knobs
        for row in range(values.shape[0]):
            running = np.float32(0.0)
            for t in range(values.shape[1] - 2, -1, -1):
                goes_on = np.float32(1.0) - dones[row, t + 1]
                rho = min(ratio[row, t], rho_max)
                c = min(ratio[row, t], c_max)
                delta = rho * (rewards[row, t + 1] + gamma * values[row, t + 1] * goes_on - values[row, t])
                running = delta + gamma * lam * c * running * goes_on
                out[row, t] = running

    def compute(
        values: Tensor, rewards: Tensor, terminals: Tensor, ratio: Tensor, advantages: Tensor, *knobs: float
    ) -> Tensor:
        arrays = tuple(entry.detach().numpy() for entry in (values, rewards, terminals, ratio, advantages))
        rows(arrays, tuple(np.float32(knob) for knob in knobs))
        return advantages

    return compute


class Puffer:
    """Satisfies :class:`headctl.run.peers.work.Contestant`."""

    def __init__(self, work: Work, route: str, trainer: Any) -> None:
        """Makes the environments and PuffeRL."""
        self._stream = GlobalStream(work.seed)
        self._folder = tempfile.TemporaryDirectory()
        env = _native_env(work) if route == BATCHED else _emulated_env(work)
        self.rows = int(env.num_agents)
        self.features = int(np.prod(env.single_observation_space.shape))
        self.outputs = int(np.sum(env.single_action_space.nvec))
        work.gradient_steps(self.rows)
        config = _config(work, self.rows, self._folder.name)
        with self._stream.in_place(), _quiet():
            policy = _Network(self.features, [int(size) for size in env.single_action_space.nvec], work.hidden)
            self._trainer = trainer.PuffeRL(config, env, policy)
        # Its table of the state of the machine, drawn four times a second, is no part of the work.
        self._trainer.print_dashboard = lambda *_, **__: None
        self._tally = Tally(self._trainer.optimizer, work.minibatch)

    def iterate(self) -> None:
        """Plays one rollout and learns from it."""
        with self._stream.in_place():
            self._trainer.evaluate()
            self._trainer.train()
        self._tally.agent_steps = int(self._trainer.global_step)

    def account(self) -> Account:
        """Returns what it has done so far."""
        return self._tally.account()

    def mean_reward(self) -> float:
        """Returns the mean reward per decision of the last rollout."""
        return float(self._trainer.rewards.mean())

    def close(self) -> None:
        """Ends its thread, the environments and the folder."""
        self._trainer.utilization.stop()
        self._trainer.vecenv.close()
        self._folder.cleanup()


class _Network(nn.Module):
    """The network of all trainers in the form that PuffeRL calls."""

    def __init__(self, features: int, nvec: list[int], hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = features
        for size in hidden:
            layers += [_layer(width, size, 2.0**0.5), nn.Tanh()]
            width = size
        self.hidden_size = width
        self.trunk = nn.Sequential(*layers)
        self.actor, self.critic = _layer(width, sum(nvec), 0.01), _layer(width, 1, 1.0)
        self._nvec = nvec

    def forward_eval(self, observations: Tensor, state: Any = None) -> tuple[tuple[Tensor, ...], Tensor]:
        del state
        hidden = self.trunk(observations)
        return self.actor(hidden).split(self._nvec, dim=-1), self.critic(hidden)

    def forward(self, observations: Tensor, state: Any = None) -> tuple[tuple[Tensor, ...], Tensor]:
        return self.forward_eval(observations, state)


def _layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.constant_(layer.bias, 0.0)
    return layer


def _native_env(work: Work) -> Any:
    """Returns a ``PufferEnv`` that writes the whole batch into PufferLib's buffers."""
    library = importlib.import_module("pufferlib")
    base: Any = library.PufferEnv
    rows = DiscreteRows(BatchedRows(work), work.bins)

    class NativeEnv(base):
        def __init__(self, buf: Any = None, seed: int = 0) -> None:
            del seed
            self.single_observation_space = spaces.Box(-np.inf, np.inf, (rows.features,), np.float32)
            self.single_action_space = spaces.MultiDiscrete(rows.nvec)
            self.num_agents = rows.rows
            super().__init__(buf)

        def reset(self, seed: int | None = None) -> tuple[NDArray[np.float32], list[Any]]:
            del seed
            self.observations[:] = rows.reset(work.seed).observation
            return self.observations, []

        def step(self, actions: NDArray[Any]) -> Any:
            played = rows.step(actions)
            self.observations[:] = played.seen.observation
            self.rewards[:] = played.reward
            self.terminals[:] = played.terminated
            self.truncations[:] = played.truncated
            return self.observations, self.rewards, self.terminals, self.truncations, []

        def close(self) -> None:
            pass

    return importlib.import_module("pufferlib.vector").make(NativeEnv, num_envs=1, seed=work.seed)


def _emulated_env(work: Work) -> Any:
    """Returns one ``PettingZooPufferEnv`` per game, stepped in a row."""
    emulation = importlib.import_module("pufferlib.emulation")
    vector = importlib.import_module("pufferlib.vector")
    make_env = face(work, discrete=True)

    def make(buf: Any = None, seed: int = 0) -> Any:
        return emulation.PettingZooPufferEnv(env_creator=make_env, buf=buf, seed=seed)

    return vector.make(make, num_envs=work.games, backend=vector.Serial, seed=work.seed)


def _config(work: Work, rows: int, folder: str) -> dict[str, Any]:
    """Returns PuffeRL's configuration: the work's numbers where there are any, its own defaults elsewhere."""
    return {
        "env": "game",
        "seed": work.seed,
        "torch_deterministic": True,
        "device": "cpu",
        "cpu_offload": False,
        "use_rnn": False,
        "compile": False,
        "compile_mode": "default",
        "compile_fullgraph": False,
        "precision": "float32",
        "optimizer": "adam",
        "anneal_lr": False,
        "batch_size": rows * work.steps,
        "bptt_horizon": work.steps,
        "minibatch_size": work.minibatch,
        "max_minibatch_size": work.minibatch,
        "update_epochs": work.epochs,
        "total_timesteps": 10**12,
        "learning_rate": work.learning_rate,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_eps": 1e-5,
        "gamma": work.gamma,
        "gae_lambda": work.gae_lambda,
        "clip_coef": work.clip,
        "vf_coef": work.value_coef,
        "vf_clip_coef": work.clip,
        "ent_coef": work.entropy_coef,
        "max_grad_norm": work.max_grad_norm,
        "vtrace_rho_clip": 1.0,
        "vtrace_c_clip": 1.0,
        "prio_alpha": 0.8,
        "prio_beta0": 0.2,
        "data_dir": folder,
        "checkpoint_interval": 10**9,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Swallows what PuffeRL prints and warns of when it is made: a dashboard, and that float32 needs no autocast."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
