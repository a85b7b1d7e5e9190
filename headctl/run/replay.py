"""One game of a run's agent, written down: a Tacview file and a picture that moves.

Both show what every head decided, how random it was (entropy in nats) and its temperature alpha. Shapes: A seats,
H heads. There is one game, so tensors of the game are ``[1, A, ...]``.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from headctl_envs.dogfight.acmi import FlightRecorder, choice_names
from headctl_envs.dogfight.config import OUTCOMES
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.snapshots import Snapshot, agent_names, snapshot
from torch import Tensor

from headctl.messages import unknown_name
from headctl.policy.actions import Actions
from headctl.run.agent import check_same_game
from headctl.run.checkpoint import list_checkpoints, load_checkpoint
from headctl.run.film import Film, video_encoder
from headctl.run.folder import RunFolderError, check_run_folder, is_run_folder
from headctl.run.report import RunReader
from headctl.run.trainer import load_policy
from headctl.selfplay.catalog import make
from headctl.selfplay.games import Observations, VectorGame

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


Decisions = Mapping[str, Sequence[HeadDecision]]
"""What every head of every agent decided; empty at the end of the game."""


class Agent(Protocol):
    """Somebody who flies a game and tells what she decides."""

    def begin(self) -> None:
        """Begins a game: nothing is remembered of another one."""
        ...

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
    mp4: Path | None = None,
    story: Path | None = None,
) -> Told:
    """Plays one game and writes it down.

    Args:
        run_dir: As in :class:`Cast`, with ``against``, ``side`` and ``seed``.
        against: See there.
        side: See there.
        seed: See there.
        acmi: Tacview file to write; ends in ``.acmi``, or in ``.zip.acmi`` to be compressed.
        gif: Animated picture to write; ends in ``.gif``.
        mp4: Film to write; ends in ``.mp4``. Needs the extra ``render``.
        story: The game as plain data; ends in ``.json``.

    Returns:
        One line about the game, and the files.

    Raises:
        ReplayError: A file that cannot be written; and what :class:`Cast` raises.
    """
    _check_file("acmi", acmi, ".acmi")
    _check_file("gif", gif, ".gif")
    _check_file("mp4", mp4, ".mp4")
    _check_file("json", story, ".json")
    if mp4 is not None:
        _check_encoder()
    game = Cast(run_dir, against=against, side=side, seed=seed)
    engine = game.engine
    with ExitStack() as files:
        watchers: list[Callable[[Decisions], None]] = []
        film = Film(engine.config)
        if gif is not None or mp4 is not None:
            watchers.append(
                lambda told: film.add(snapshot(engine), {name: _captions(heads) for name, heads in told.items()})
            )
        if acmi is not None:
            pilots = {
                agent: game.pilots[side] for agent, side in zip(agent_names(engine), engine.seat_sides, strict=True)
            }
            title = f"{game.pilots[0]} against {game.pilots[1]}, seed {seed}"
            recorder = files.enter_context(FlightRecorder(acmi, engine, title=title, pilots=pilots))
            watchers.append(lambda told: recorder.record({name: _telemetry(heads) for name, heads in told.items()}))
        teller = Story(engine, game.pilots, seed)
        if story is not None:
            watchers.append(teller.add)
        end = game.play(watchers)
    if gif is not None:
        film.write(gif)
    if mp4 is not None:
        film.write_video(mp4)
    if story is not None:
        story.write_text(json.dumps(teller.to_json(), allow_nan=False) + "\n", encoding="utf-8")
    opponent = "itself" if against is None else game.pilots[1 - SIDES.index(side)]
    result = "draw" if end.outcome not in SIDES else f"{end.outcome} wins"
    summary = f"{run_dir} ({side}) against {opponent}, seed {seed}: {result} ({end.cause}) after {end.time_s:.1f} s"
    return Told(summary, [path for path in (acmi, gif, mp4, story) if path is not None])


def tell(run_dir: Path, *, against: str | None = None, side: str = "red", seed: int = 0) -> dict[str, Any]:
    """Plays one game and returns it as plain data, in the form of :meth:`Story.to_json`.

    Arguments and what is raised are those of :class:`Cast`.
    """
    game = Cast(run_dir, against=against, side=side, seed=seed)
    story = Story(game.engine, game.pilots, seed)
    game.play([story.add])
    return story.to_json()


class Cast:
    """A game that is about to be played: the engine, who flies which side, and their names.

    Args:
        run_dir: Run whose newest agent plays.
        against: A scripted pilot or the folder of another run; ``None``: the agent itself.
        side: Side of the agent.
        seed: Seed of the start and of all draws.

    Raises:
        RunFolderError: A folder that is no run, or an opponent that is neither a pilot nor a run of this game.
        CheckpointError: A run without a checkpoint.
        ReplayError: A run of another game.
    """

    def __init__(self, run_dir: Path, *, against: str | None, side: str, seed: int) -> None:
        check_run_folder(run_dir)
        config = RunReader.config_of(run_dir)
        if config.game.name != "dogfight":
            raise ReplayError(f"{run_dir} plays {config.game.name}; only a dogfight can be replayed")
        engine = make("dogfight", config.evaluation_options, num_games=1, seed=seed, gamma=config.ppo.gamma)
        assert isinstance(engine, DogfightEngine)  # noqa: S101 - the game of that name
        engine.auto_reset = False
        self.engine, self._seed = engine, seed
        self.pilots = [_label(str(run_dir)), _label(str(run_dir) if against is None else against)]
        self._agents: list[Agent] = [_RunAgent(run_dir, engine, 2 * seed)]
        self._agents.append(_opponent(run_dir, against, engine, 2 * seed + 1))
        if side == SIDES[1]:
            self._agents.reverse()
            self.pilots.reverse()

    def play(self, watchers: Sequence[Callable[[Decisions], None]]) -> Snapshot:
        """Plays the first episode and returns its end; everybody who watches is told of every moment, the end too."""
        engine = self.engine
        seen: tuple[Tensor, dict[str, Tensor]] = engine.reset(self._seed)
        names = agent_names(engine)
        is_first = torch.tensor(engine.seat_sides) == 0
        for agent in self._agents:
            agent.begin()
        ended = False
        while not ended:
            (mine, told), (theirs, told_too) = (agent.decide(Observations(*seen)) for agent in self._agents)
            decisions = {name: (told, told_too)[engine.seat_sides[seat]][seat] for seat, name in enumerate(names)}
            for watcher in watchers:
                watcher(decisions)
            step = engine.step({head: _by_seat(is_first, mine[head], theirs[head]) for head in mine})
            seen = engine.current()
            ended = bool(step.outcome[0])
        for watcher in watchers:
            watcher({})
        return snapshot(engine)


class Story:
    """One game as plain data, for pages and notebooks.

    Args:
        engine: The game; it must not reset itself.
        pilots: Who flies each side.
        seed: Seed of the game.
    """

    def __init__(self, engine: DogfightEngine, pilots: Sequence[str], seed: int) -> None:
        self._engine, self._pilots, self._seed = engine, list(pilots), seed
        self._moments: list[tuple[Snapshot, Decisions]] = []

    def add(self, decisions: Decisions) -> None:
        """Takes in the moment that the engine is in."""
        self._moments.append((snapshot(self._engine), decisions))

    def to_json(self) -> dict[str, Any]:
        """Returns the game column by column: one entry per decision and one for the end.

        Positions are in m to the north and the east and in m of altitude, speeds in m/s, entropies in nats. A scripted
        pilot has decisions, and ``None`` for entropy and alpha; at the end every decision is ``None``.
        """
        end = self._moments[-1][0]
        return {
            "pilots": dict(zip(SIDES, self._pilots, strict=True)),
            "seed": self._seed,
            "outcome": end.outcome,
            "cause": end.cause,
            "time_s": [round(now.time_s, 3) for now, _ in self._moments],
            "aircraft": [self._aircraft(seat) for seat in range(len(end.craft))],
        }

    def _aircraft(self, seat: int) -> dict[str, Any]:
        course = [now.craft[seat] for now, _ in self._moments]
        agent = course[0].agent
        decisions = [told[agent] if told else () for _, told in self._moments]
        heads = {
            first.head: {
                "decision": [told[index].words if told else None for told in decisions],
                "entropy": [_rounded(told[index].entropy) if told else None for told in decisions],
                "alpha": _rounded(first.alpha, 6),
            }
            for index, first in enumerate(decisions[0])
        }
        return {
            "agent": agent,
            "side": SIDES[course[0].side],
            "pilot": self._pilots[course[0].side],
            "north_m": [round(craft.position[0], 1) for craft in course],
            "east_m": [round(craft.position[1], 1) for craft in course],
            "altitude_m": [round(craft.altitude, 1) for craft in course],
            "speed_mps": [round(craft.speed, 1) for craft in course],
            "load_factor": [round(craft.load_factor, 2) for craft in course],
            "health": [round(craft.health, 3) for craft in course],
            "rounds": [round(craft.rounds) for craft in course],
            "heads": heads,
        }


def _rounded(number: float, digits: int = 4) -> float | None:
    return round(number, digits) if math.isfinite(number) else None


class _RunAgent:
    """The newest agent of a run, with the temperatures that its controller had then."""

    def __init__(self, run_dir: Path, engine: DogfightEngine, seed: int) -> None:
        self._policy = load_policy(RunReader.config_of(run_dir), run_dir)
        controller = load_checkpoint(list_checkpoints(run_dir)[-1])["learner"]["controller"]
        self._alpha = dict(zip(controller["heads"], controller["alpha"].tolist(), strict=True))
        self._generator = torch.Generator().manual_seed(seed)
        self._names = choice_names(engine)
        self._state: Tensor | None = None

    def begin(self) -> None:
        """Empties the memory."""
        self._state = None

    @torch.no_grad()
    def decide(self, seen: Observations) -> tuple[Actions, list[list[HeadDecision]]]:
        """Draws an action for every seat."""
        heads = self._policy.action_heads
        params, _, self._state = self._policy.step(seen.observation, self._state)
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

    def begin(self) -> None:
        """Nothing: a pilot's memory is the state of the game."""

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


def _label(player: str) -> str:
    return Path(player).resolve().name if is_run_folder(Path(player)) else player


def _opponent(run_dir: Path, against: str | None, engine: DogfightEngine, seed: int) -> Agent:
    if against is None:
        return _RunAgent(run_dir, engine, seed)
    if against in engine.pilot_names:
        return _PilotAgent(against, engine)
    if not is_run_folder(Path(against)):
        raise RunFolderError(f"{unknown_name('opponent', against, engine.pilot_names)}, or the folder of a run")
    check_run_folder(Path(against))
    config = RunReader.config_of(run_dir)
    check_same_game(against, RunReader.config_of(Path(against)), str(run_dir), config, cast("VectorGame", engine))
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


def _check_encoder() -> None:
    """Refuses an MP4 that nobody here can write, before the game is played.

    Raises:
        ReplayError: The encoder is not installed.
    """
    try:
        video_encoder()
    except ImportError as error:
        raise ReplayError(
            f"--mp4 needs imageio-ffmpeg ({error}): pip install 'headctl[render]'; --gif works without it"
        ) from error
