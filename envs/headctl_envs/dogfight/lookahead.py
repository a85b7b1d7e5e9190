"""Look-ahead of the fighter: every candidate is flown for a second on a copy of the state, against a pursuing enemy.

The choice is the candidate whose end has the best position. The ace's game matrix is in ``rollouts``.
"""

from typing import Any

import warp as wp

from headctl_envs.dogfight.flight import Airframe, Motion, air_at, integrate
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.maneuvers import BREAK, EXTEND, HIGH_YO_YO, LAG, LEAD, PURE, guide
from headctl_envs.dogfight.piloting import index_of
from headctl_envs.dogfight.scoring import advantage
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

LOOK_STEP_S = 0.25
"""Step of the look-ahead; the airframes that it gets are made for it."""

CANDIDATES = (PURE, LEAD, LAG, HIGH_YO_YO, BREAK, EXTEND)
"""Maneuvers that the fighter chooses among, all relative to the enemy."""
Kinds: Any = wp.types.vector(length=len(CANDIDATES), dtype=wp.int32)
KINDS = wp.constant(Kinds(*(int(kind) for kind in CANDIDATES)))
NUMBER = len(CANDIDATES)

STEPS = wp.constant(4)
"""Length of the look-ahead in steps of ``LOOK_STEP_S``: 1 s."""
CRASH_WORTH = wp.constant(6.0)


@wp.func
def flown_ahead(kind: int, own: Motion, foe: Motion, view: Sight, airframe: Airframe) -> Motion:
    """One look-ahead step of an aircraft that flies a maneuver."""
    air = air_at(-own.position[2])
    return integrate(own, guide(kind, wp.vec3(0.0, 0.0, 0.0), own, foe.speed, view, airframe, air), airframe, air)


@wp.func
def worth_of(
    kind: int, own: Motion, foe: Motion, own_airframe: Airframe, foe_airframe: Airframe, rules: Rules
) -> float:
    """Advantage over the enemy's at the end, less the dangers of a collision and of the floor."""
    mine = own
    theirs = foe
    worth = wp.float32(0.0)
    lowest = wp.float32(1.0e9)
    for _ in range(STEPS):
        view = sight(mine, theirs)
        back = sight(theirs, mine)
        moved = flown_ahead(kind, mine, theirs, view, own_airframe)
        theirs = flown_ahead(PURE, theirs, mine, back, foe_airframe)
        mine = moved
        view = sight(mine, theirs)
        if view.range < 40.0:
            worth = worth - 1.0
        lowest = wp.min(lowest, -mine.position[2] - rules.floor_m - 1.5 * wp.max(0.0, view.own_forward[2]) * mine.speed)
    view = sight(mine, theirs)
    back = sight(theirs, mine)
    worth = worth + advantage(mine, theirs, view, rules) - advantage(theirs, mine, back, rules)
    if lowest < 60.0:
        worth = worth - CRASH_WORTH
    return worth


@wp.func
def best_candidate(world: World, rules: Rules, ahead: wp.array[Airframe], n: int, s: int, target: int) -> int:
    """Position in the library of the candidate with the best end, -1 where the library has none of them."""
    own = world.motion[n, s]
    foe = world.motion[n, target]
    best = wp.float32(-1.0e9)
    found = wp.int32(-1)
    for i in range(NUMBER):
        choice = index_of(world, KINDS[i])
        if choice >= 0:  # noqa: SIM102 - Warp evaluates both sides of an ``and``
            if world.mask_maneuver[n, s, choice]:
                worth = worth_of(KINDS[i], own, foe, ahead[s], ahead[target], rules)
                if worth > best:
                    best = worth
                    found = choice
    return found
