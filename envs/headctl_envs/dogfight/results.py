"""What the engine returns: observations, steps, statistics.

Shape legend: N games, A seats, K choices, D features.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from headctl_envs.dogfight.world import COUNTS


class Observations(NamedTuple):
    """What a reset returns.

    Attributes:
        observation: float32 [N, A, D].
        masks: ``maneuver`` and ``weapon``, bool [N, A, K], true where the choice is legal.
    """

    observation: Tensor
    masks: dict[str, Tensor]


class GameStep(NamedTuple):
    """What a step returns.

    Attributes:
        observation: float32 [N, A, D], after auto-reset: where an episode ended, the first of the next.
        masks: bool [N, A, K] per masked head; they belong to ``observation``.
        reward: float32 [N, A]: the same for all living aircraft of a team, the negative for the other team's; 0 for the
            dead.
        terminated: bool [N, A]: with this step the seat's episode ended for good, by its death or the end of a team.
        truncated: bool [N, A]: the time limit cut the episode of this living seat; never both.
        final_observation: float32 [N, A, D] at the end of this step, before auto-reset.
        alive: bool [N, A], whether the seat was alive when it chose the action of this step.
        outcome: int32 [N], 0 the game goes on, 1 red won, 2 blue won, 3 draw.
    """

    observation: Tensor
    masks: dict[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_observation: Tensor
    alive: Tensor
    outcome: Tensor


def statistics_of(counts: Sequence[float], seats: int) -> dict[str, float]:
    """Turns the sums of the kernels into the means of ``config.STATISTICS``.

    Args:
        counts: Sums over all games, in the order of ``world.COUNTS``.
        seats: Number of seats A.
    """
    total = dict(zip(COUNTS, counts, strict=True))

    def share(part: float, whole: float) -> float:
        return part / whole if whole > 0 else float("nan")

    episodes = total["episodes"]
    return {
        "episode_length": share(total["length"], episodes),
        "ended_kill": share(total["kill"], episodes),
        "ended_crash": share(total["crash"], episodes),
        "ended_collision": share(total["collision"], episodes),
        "ended_time": share(total["time"], episodes),
        "killed_by_gun": share(total["by_gun"], episodes * seats),
        "killed_by_missile": share(total["by_missile"], episodes * seats),
        "rounds_fired": share(total["rounds"], episodes * seats),
        "missiles_fired": share(total["missiles"], episodes * seats),
        "flares_dropped": share(total["flares"], episodes * seats),
        "missile_hits": share(total["missile_hits"], total["missile_ends"]),
        "missile_decoys": share(total["missile_decoys"], total["missile_ends"]),
        "hit_share": share(total["hits"], total["fired"]),
        "gun_zone_s": share(total["zone_s"], episodes * seats),
        "illegal_actions": share(total["illegal"], total["decisions"]),
    }
