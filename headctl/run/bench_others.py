"""The dogfight beside others: PyFlyt's, and a bare loop of two F-16s of JSBSim. Only where these are installed.

An environment-step is one decision of every aircraft. The decisions differ: 0.2 s here and in the loop of JSBSim,
1/30 s in PyFlyt, whose step is worth less simulated time. So each line has its simulated seconds a second too.
"""

import contextlib
import ctypes
import importlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from headctl.run.bench import Figure
from headctl.run.config import RunConfig

REPETITIONS = 5
DECISION_S = 0.2
JSBSIM_STEPS = 24
"""Steps of JSBSim's usual 1/120 s in a decision."""
_READ = (
    "position/lat-geod-deg",
    "position/long-gc-deg",
    "position/h-sl-meters",
    "attitude/phi-rad",
    "attitude/theta-rad",
    "attitude/psi-rad",
    "velocities/u-fps",
    "velocities/v-fps",
    "velocities/w-fps",
    "velocities/p-rad_sec",
    "velocities/q-rad_sec",
    "velocities/r-rad_sec",
    "velocities/mach",
    "accelerations/Nz",
)
_COMMANDS = ("fcs/elevator-cmd-norm", "fcs/aileron-cmd-norm", "fcs/throttle-cmd-norm")


def bench_others(config: RunConfig, *, seconds: float = 1.0) -> list[Figure]:
    """Returns environment-steps/s and simulated seconds a second of one fight, one against one, here and elsewhere.

    Args:
        config: Names the game; there are no figures beside another game than the dogfight.
        seconds: How long each repetition plays.

    Returns:
        Two figures for our own PettingZoo face, and two for each of PyFlyt and JSBSim that is installed.
    """
    if config.game.name != "dogfight":
        return []
    figures = []
    for label, module, maker in _PLAYERS:
        if find_spec(module) is None:
            continue
        with _silent():
            play, step_s, close = maker(config.game.options)
            rates = _rates(play, seconds)
            close()
        figures.append(Figure(f"1v1, {label}", "environment-steps/s", rates))
        figures.append(Figure(f"1v1, {label}, time", "simulated s/s", tuple(rate * step_s for rate in rates)))
    return figures


def missing_others() -> tuple[str, ...]:
    """Names of the packages that are not installed and would be measured if they were."""
    return tuple(module for _, module, _ in _PLAYERS if find_spec(module) is None)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps stdout free of what other libraries write to it, from Python and past it: it belongs to our own figures."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what the libraries' own buffers still hold
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _rates(play: Callable[[], object], seconds: float) -> tuple[float, ...]:
    rates = []
    play()
    for _ in range(REPETITIONS):
        steps, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            play()
            steps += 1
        rates.append(steps / (time.perf_counter() - started))
    return tuple(rates)


def _face(env: Any) -> Callable[[], object]:
    """Random actions, drawn beforehand, through a parallel PettingZoo environment."""
    env.reset(seed=1)
    for agent in env.possible_agents:
        env.action_space(agent).seed(1)
    actions = [{agent: env.action_space(agent).sample() for agent in env.possible_agents} for _ in range(64)]
    place = 0

    def play() -> None:
        nonlocal place
        if not env.agents:
            env.reset()
        env.step({agent: actions[place % len(actions)][agent] for agent in env.agents})
        place += 1

    return play


def _own(options: Mapping[str, Any]) -> tuple[Callable[[], object], float, Callable[[], object]]:
    face = importlib.import_module("headctl_envs.dogfight_v0")
    env = face.parallel_env(**{**options, "team_size": 1})
    return _face(env), env.engine.config.decision_period_s, env.close


def _pyflyt(options: Mapping[str, Any]) -> tuple[Callable[[], object], float, Callable[[], object]]:  # noqa: ARG001
    envs = importlib.import_module("PyFlyt.pz_envs")
    env = envs.MAFixedwingDogfightEnvV2(team_size=1, agent_hz=30)
    return _face(env), 1.0 / 30.0, env.close


def _jsbsim(options: Mapping[str, Any]) -> tuple[Callable[[], object], float, Callable[[], object]]:  # noqa: ARG001
    """Two F-16s with the gear up, 24 steps of 1/120 s a decision, random controls, 14 properties read of each."""
    jsbsim = importlib.import_module("jsbsim")
    aircraft = []
    for heading in (0.0, 180.0):
        fdm = jsbsim.FGFDMExec(None)
        fdm.set_debug_level(0)
        fdm.load_model("f16")
        start = {"ic/h-sl-ft": 20000.0, "ic/mach": 0.8, "ic/psi-true-deg": heading, "gear/gear-cmd-norm": 0.0}
        for name, value in start.items():
            fdm[name] = value
        fdm.run_ic()
        fdm["gear/gear-cmd-norm"] = fdm["gear/gear-pos-norm"] = 0.0
        fdm.get_propulsion().init_running(-1)
        aircraft.append(fdm)
    step = 0

    def play() -> None:
        nonlocal step
        step += 1
        for fdm in aircraft:
            if fdm["position/h-sl-meters"] < 1000.0 or step % 600 == 0:
                fdm.reset_to_initial_conditions(0)
                fdm.get_propulsion().init_running(-1)
            for place, name in enumerate(_COMMANDS):
                fdm[name] = ((step * (place + 3)) % 7) / 20.0 - 0.15 if place < 2 else 0.8
            for _ in range(JSBSIM_STEPS):
                fdm.run()
            for name in _READ:
                fdm.get_property_value(name)

    return play, DECISION_S, lambda: None


_PLAYERS: tuple[tuple[str, str, Any], ...] = (
    ("headctl, PettingZoo", "headctl_envs", _own),
    ("PyFlyt, PettingZoo", "PyFlyt", _pyflyt),
    ("JSBSim, two F-16s in a bare loop", "jsbsim", _jsbsim),
)
