"""What ``headctl bench peers`` does: reads the work, lets the trainers compete, prints tables."""

import os
from typing import Any

from rich.console import Console

from headctl.messages import unknown_name
from headctl.run.bench import machine
from headctl.run.config import RunConfig
from headctl.run.peers import view
from headctl.run.peers.contest import OWN, TRAINERS, compete, entries, load
from headctl.run.peers.work import ROUTES, Work

_MOST_THREADS = 8  # a minibatch of 4096 has no work for more
DEFAULTS = (
    "game.num_games=64",
    "game.options={missiles: 0, flares: 0}",
    "ppo.rollout_steps=128",
    f"run.threads={min(os.cpu_count() or 1, _MOST_THREADS)}",
)
"""Where no configuration is given: one against one with guns, 64 games, on all cores."""


class PeersError(ValueError):
    """A trainer or a route that does not exist, or a game that has no second form. One line."""


def work_of(config: RunConfig, *, workers: int = 0) -> Work:
    """Returns the work that a configuration describes.

    Args:
        config: Game, network and batch.
        workers: Processes beside the trainer's own that step headctl's PettingZoo environments.

    Raises:
        PeersError: Another game than the dogfight: of no other the batched and the PettingZoo form are both known.
    """
    if config.game.name != "dogfight":
        raise PeersError(
            f"game.name: the comparison needs a game in a batched and in a PettingZoo form, which 'dogfight' has; got "
            f"{config.game.name!r}"
        )
    ppo = config.ppo
    return Work(
        options=dict(config.game.options),
        games=config.game.num_games,
        steps=ppo.rollout_steps,
        epochs=ppo.epochs,
        minibatch=ppo.minibatch_size,
        hidden=tuple(config.policy.hidden),
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip=ppo.clip_coef,
        learning_rate=ppo.learning_rate,
        value_coef=ppo.value_coef,
        max_grad_norm=ppo.max_grad_norm,
        workers=workers,
        threads=config.run.threads,
        seed=config.seed,
    )


def run_peers(
    console: Console, config: RunConfig, *, trainers: str, routes: str, repetitions: int, workers: int, as_json: bool
) -> dict[str, Any] | None:
    """Runs the comparison.

    Args:
        console: Where progress and tables go.
        config: Game, network and batch.
        trainers: Names from :data:`~headctl.run.peers.contest.TRAINERS`, separated by commas; none: all.
        routes: ``batched``, ``pettingzoo`` or both, separated by commas; none: both.
        repetitions: Rounds.
        workers: Processes beside the trainer's own that step headctl's PettingZoo environments.
        as_json: Return rows instead of printing tables.

    Returns:
        With ``as_json`` everything as plain data.

    Raises:
        PeersError: A trainer or a route that does not exist, or a game that has no second form.
        UnequalWorkError: A batch that the trainers cannot share out in the same way.
    """
    chosen = _words(trainers, "--trainers", tuple(TRAINERS)) or list(TRAINERS)
    chosen = [*OWN, *(name for name in chosen if name not in OWN)]
    ways = _words(routes, "--routes", ROUTES) or list(ROUTES)
    work = work_of(config, workers=workers)
    work.gradient_steps(2 * int(config.game.options.get("team_size", 1)) * work.games)
    about = {**machine(config), "worker processes of headctl through PettingZoo": str(workers)}
    with console.status("") as status:
        standings = compete(
            work,
            entries(chosen, ways),
            repetitions=repetitions,
            threads=config.run.threads,
            tell=status.update,
        )
    about["load after"] = f"{load():.1f}"
    if as_json:
        return view.plain(work, standings, about)
    console.print(view.tables(work, standings, about))
    return None


def _words(text: str, option: str, known: tuple[str, ...]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise PeersError(f"{option}: {unknown_name('name', word, known)}")
    return words
