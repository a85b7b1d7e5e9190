"""Which fights the page of a run shows."""

import math
from collections.abc import Sequence
from typing import Any

from headctl.run.checkpoint import list_checkpoints
from headctl.run.replay import tell
from headctl.run.report import RunReader
from headctl.selfplay.catalog import describe

REPLAYED = "dogfight"


def fights_for(reader: RunReader, against: Sequence[str] = (), seed: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Plays the newest agent of a run.

    Args:
        reader: The run.
        against: Pilots and folders of runs; by default the agent itself, and the pilot that beats it most often.
        seed: Seed of the starts and of all draws.

    Returns:
        The fights, and why there is none where that is so.

    Raises:
        RunFolderError: An opponent that is neither a pilot nor a run of this game.
        ReplayError: Opponents for a game that cannot be replayed.
    """
    if not against:
        if reader.config.game.name != REPLAYED:
            return [], f"Fights are shown of the {REPLAYED}; this run plays {reader.config.game.name}."
        if not list_checkpoints(reader.run_dir):
            return [], "There is no checkpoint yet, so nobody can fly."
    opponents: list[str | None] = [*against] if against else [None, hardest_pilot(reader)]
    return [tell(reader.run_dir, against=opponent, seed=seed) for opponent in dict.fromkeys(opponents)], ""


def hardest_pilot(reader: RunReader) -> str | None:
    """Returns the scripted pilot that beats the agent most often; ``None`` where no match was played."""
    config = reader.config
    pilots = set(describe(config.game.name, config.evaluation_options).pilots)
    rates = {who: score.win_rate for who, (_, score) in reader.evaluations().items() if who in pilots}
    known = {who: 1.0 if math.isnan(rate) else rate for who, rate in rates.items()}
    return min(known, key=lambda who: known[who]) if known else None
