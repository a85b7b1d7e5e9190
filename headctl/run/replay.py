"""One game of a run's agent, written down: a Tacview file and a picture that moves.

Both show what every head decided, how random it was (entropy in nats) and its temperature alpha. Shapes: A seats,
H heads. There is one game, so tensors of the game are ``[1, A, ...]``.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from headctl_envs.dogfight.acmi import FlightRecorder, choice_names
from headctl_envs.dogfight.config import OUTCOMES
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.snapshots import Snapshot, agent_names, snapshot
from torch import Tensor

from headctl.policy.actions import Actions
from headctl.run.checkpoint import list_checkpoints, load_checkpoint
from headctl.run.film import Film
from headctl.run.folder import check_run_folder
from headctl.run.report import RunReader
from headctl.run.session import Arena, match_label
from headctl.run.trainer import load_policy
from headctl.selfplay.catalog import make
from headctl.selfplay.games import Observations

SIDES = OUTCOMES[1:3]
"""Names of the two sides."""


class ReplayError(ValueError):
    """A replay that cannot be made. One line."""


class HeadDecision(NamedTuple):
    """What one head decided for one aircraft."""

    head: str
    words: str
    entropy: float
    """In nats; NaN for a scripted pilot."""
    alpha: float
    """NaN for a scripted pilot."""


class Agent(Protocol):
    """Somebody who flies a game and tells what she decides."""

    def decide(self, seen: Observations) -> tuple[Actions, list[list[HeadDecision]]]:
        """Returns actions ``[1, A, ...]`` and, per seat, what every head decided."""
        ...


class Told(NamedTuple):
    """What came of a replay."""

    summary: str
    files: list[Path]


def record(
    run_dir: Path,
    *,
    against: str | None = None,
    side: str = "red",
    seed: int = 0,
    acmi: Path | None = None,
    gif: Path | None = None,
) -> Told:
    """Plays one game and writes it down.

    Args:
        run_dir: Run whose newest agent plays.
        against: A scripted pilot or the folder of another run; ``None``: the agent itself.
        side: Side of the agent.
        seed: Seed of the start and of all draws.
        acmi: Tacview file to write; ends in ``.acmi``, or in ``.zip.acmi`` to be compressed.
        gif: Animated picture to write; ends in ``.gif``.

    Returns:
        One line about the game, and the files.

    Raises:
        RunFolderError: A folder that is no run, or an opponent that is neither a pilot nor a run of this game.
        CheckpointError: A run without a checkpoint.
        ReplayError: A run of another game, or a file that cannot be written.
    """
    check_run_folder(run_dir)
    config = RunReader.config_of(run_dir)
    if config.game.name != "dogfight":
        raise ReplayError(f"{run_dir} plays {config.game.name}; only a dogfight can be replayed")
    _check_file("acmi", acmi, ".acmi")
    _check_file("gif", gif, ".gif")
    engine = make("dogfight", config.evaluation_options, num_games=1, seed=seed, gamma=config.ppo.gamma)
    assert isinstance(engine, DogfightEngine)  # noqa: S101 - the game of that name
    engine.auto_reset = False
    labels = [match_label(str(run_dir)), match_label(str(run_dir) if against is None else against)]
    agents: list[Agent] = [_RunAgent(run_dir, engine, 2 * seed)]
    agents.append(_opponent(run_dir, against, engine, 2 * seed + 1))
    if side == SIDES[1]:
        agents.reverse()
        labels.reverse()
    with ExitStack() as files:
        film = Film(engine.config) if gif is not None else None
        recorder = None
        if acmi is not None:
            pilots = {agent: labels[where] for agent, where in zip(agent_names(engine), engine.seat_sides, strict=True)}
            title = f"{labels[0]} against {labels[1]}, seed {seed}"
            recorder = files.enter_context(FlightRecorder(acmi, engine, title=title, pilots=pilots))
        end = _play(engine, agents, seed, recorder, film)
    if film is not None and gif is not None:
        film.write(gif)
    opponent = "itself" if against is None else labels[1 - SIDES.index(side)]
    result = "draw" if end.outcome not in SIDES else f"{end.outcome} wins"
    summary = f"{run_dir} ({side}) against {opponent}, seed {seed}: {result} ({end.cause}) after {end.time_s:.1f} s"
    return Told(summary, [path for path in (acmi, gif) if path is not None])


def _play(
    engine: DogfightEngine,
    agents: Sequence[Agent],
    seed: int,
    recorder: FlightRecorder | None,
    film: Film | None,
) -> Snapshot:
    """Plays the first episode, ``agents[0]`` on side 0; returns its end."""
    seen: tuple[Tensor, dict[str, Tensor]] = engine.reset(seed)
    names = agent_names(engine)
    is_first = torch.tensor(engine.seat_sides) == 0
    ended = False
    while not ended:
        (mine, told), (theirs, told_too) = (agent.decide(Observations(*seen)) for agent in agents)
        decisions = {name: (told, told_too)[engine.seat_sides[seat]][seat] for seat, name in enumerate(names)}
        if recorder is not None:
            recorder.record({name: _telemetry(heads) for name, heads in decisions.items()})
        if film is not None:
            film.add(snapshot(engine), {name: _captions(heads) for name, heads in decisions.items()})
        step = engine.step({head: _by_seat(is_first, mine[head], theirs[head]) for head in mine})
        seen = engine.current()
        ended = bool(step.outcome[0])
    end = snapshot(engine)
    if recorder is not None:
        recorder.record()
    if film is not None:
        film.add(end, {})
    return end


class _RunAgent:
    """The newest agent of a run, with the temperatures that its controller had then."""

    def __init__(self, run_dir: Path, engine: DogfightEngine, seed: int) -> None:
        self._policy = load_policy(RunReader.config_of(run_dir), run_dir)
        controller = load_checkpoint(list_checkpoints(run_dir)[-1])["learner"]["controller"]
        self._alpha = dict(zip(controller["heads"], controller["alpha"].tolist(), strict=True))
        self._generator = torch.Generator().manual_seed(seed)
        self._names = choice_names(engine)

    @torch.no_grad()
    def decide(self, seen: Observations) -> tuple[Actions, list[list[HeadDecision]]]:
        """Draws an action for every seat."""
        heads = self._policy.action_heads
        params, _ = self._policy(seen.observation)
        drawn = heads.sample(params, seen.masks, self._generator)
        # Adding 0 turns the -0 of a head without a choice into 0.
        entropy = (heads.evaluate(params, drawn, seen.masks).entropy[0] + 0.0).tolist()
        actions = heads.to_game(drawn)
        told = [
            [
                HeadDecision(name, _words(self._names, name, actions[name][0, seat]), row[column], self._alpha[name])
                for column, name in enumerate(heads.names)
            ]
            for seat, row in enumerate(entropy)
        ]
        return actions, told


class _PilotAgent:
    """A scripted pilot."""

    def __init__(self, name: str, engine: DogfightEngine) -> None:
        self._name, self._engine = name, engine
        self._names = choice_names(engine)

    def decide(self, seen: Observations) -> tuple[Actions, list[list[HeadDecision]]]:  # noqa: ARG002 - it sees the state
        """Asks the pilot."""
        actions = {head: tensor.clone() for head, tensor in self._engine.pilot_actions(self._name).items()}
        flown = list(actions.items())
        told = [
            [
                HeadDecision(name, _words(self._names, name, action[0, seat]), math.nan, math.nan)
                for name, action in flown
            ]
            for seat in range(self._engine.num_seats)
        ]
        return actions, told


def _opponent(run_dir: Path, against: str | None, engine: DogfightEngine, seed: int) -> Agent:
    if against is None:
        return _RunAgent(run_dir, engine, seed)
    Arena(run_dir).opponents((against,))  # refuses what is neither a pilot nor a run of the same game
    if against in engine.pilot_names:
        return _PilotAgent(against, engine)
    return _RunAgent(Path(against), engine, seed)


def _by_seat(is_first: Tensor, mine: Tensor, theirs: Tensor) -> Tensor:
    """Takes ``mine`` where the seat is on side 0; actions are ``[1, A]`` or ``[1, A, D]``."""
    return torch.where(is_first.view(1, -1, *[1] * (mine.ndim - 2)), mine, theirs)


def _words(names: Mapping[str, Sequence[str]], head: str, decision: Tensor) -> str:
    """A decision as people read it: the name of the choice, or the numbers."""
    if decision.ndim:
        return " ".join(f"{number:+.2f}" for number in decision.tolist())
    known, index = names.get(head, ()), int(decision)
    return known[index] if index < len(known) else str(index)


def _telemetry(heads: Sequence[HeadDecision]) -> dict[str, float | int | str]:
    """Properties for Tacview: ``Maneuver``, ``ManeuverEntropy``, ``ManeuverAlpha`` and so on, and a label."""
    told: dict[str, float | int | str] = {}
    for head in heads:
        name = "".join(part.capitalize() for part in head.head.split("_"))
        told |= {name: head.words, f"{name}Entropy": head.entropy, f"{name}Alpha": head.alpha}
    told["Label"] = " ".join(head.words for head in heads if not head.words.startswith(("+", "-")))
    return told


def _captions(heads: Sequence[HeadDecision]) -> list[str]:
    """Lines for the picture."""
    lines = []
    for head in heads:
        lines.append(f"{head.head}:  {head.words}")
        if math.isfinite(head.entropy):
            lines.append(f"      entropy {head.entropy:.2f} nats   alpha {head.alpha:.4f}")
    return lines


def _check_file(option: str, path: Path | None, suffix: str) -> None:
    """Refuses a file before anything is played that would only be found out afterwards."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise ReplayError(f"--{option} {path}: the name must end in {suffix}")
    if not path.parent.is_dir():
        raise ReplayError(f"--{option} {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise ReplayError(f"--{option} {path}: this is a folder")
