"""The games of a run, for training and for matches, and its matches against scripted pilots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from headctl.policy.network import Policy
from headctl.ppo.ranks import ALONE, Ranks
from headctl.run.config import RunConfig
from headctl.selfplay.catalog import GameShare, make
from headctl.selfplay.games import VectorGame
from headctl.selfplay.match import PolicyPlayer, evaluate_against_pilots
from headctl.selfplay.results import MatchResult


@dataclass(frozen=True, slots=True)
class GameMaker:
    """Makes batches of a run's game.

    Attributes:
        config: The resolved configuration.
        device: Where they are played.
    """

    config: RunConfig
    device: torch.device

    def __call__(
        self,
        options: Mapping[str, Any],
        num_games: int,
        seed: int,
        *,
        workers: int = 0,
        share: GameShare | None = None,
    ) -> VectorGame:
        """Returns a new batch.

        Args:
            options: Of the game.
            num_games: How many are played side by side.
            seed: Of the games.
            workers: Processes beside this one that play them.
            share: Which of the games of all processes they are; ``None``: all.
        """
        config = self.config
        return make(
            config.game.name,
            options,
            num_games=num_games,
            seed=seed,
            device=str(self.device),
            gamma=config.ppo.gamma,
            workers=workers,
            batched=config.game.batched,
            share=share,
        )

    def evaluated(self, num_games: int, seed: int) -> VectorGame:
        """Returns a new batch of the game as it is evaluated."""
        return self(self.config.evaluation_options, num_games, seed)


def evaluate(
    make_game: GameMaker, policy: Policy, pilots: Sequence[str], *, games: int | None = None, ranks: Ranks = ALONE
) -> dict[str, MatchResult]:
    """Plays a policy against scripted pilots, half of the games from each seat.

    Args:
        make_game: Makes the run's games.
        policy: The policy; it draws its actions unless ``evaluation.greedy`` says otherwise.
        pilots: Whom it meets.
        games: Games of each match; ``None``: ``evaluation.games``.
        ranks: The processes that share the run.

    Returns:
        The policy's results by pilot, the same in every process.
    """
    settings = make_game.config.evaluation
    play = partial(
        evaluate_against_pilots,
        make_game.evaluated,
        PolicyPlayer(policy, greedy=settings.greedy),
        games=games or settings.games,
        seed=settings.seed,
    )
    # Every process plays all of the games, and all wait for each other after each match: none for longer than that.
    return {name: result for pilot in pilots for name, result in ranks.agreed(dict(play((pilot,)))).items()}
