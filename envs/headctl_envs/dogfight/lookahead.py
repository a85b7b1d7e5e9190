"""Look-ahead for pilots: a game matrix of maneuvers on copies of the state (Austin, Carbone, Falco, Hinz, Lewis 1987).

Every own candidate is flown against every answer of the enemy for a short horizon; the entry is what the end and the
shots on the way are worth. The choice is the candidate whose worst case is best (maximin).
"""

import warp as wp

from headctl_envs.dogfight.flight import Airframe, Motion, air_at, integrate
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.maneuvers import (
    ACCELERATE,
    BREAK,
    EXTEND,
    HIGH_YO_YO,
    HOLD,
    LAG,
    LEAD,
    PULL_UP,
    PURE,
    PUSH_OVER,
    TURN_LEFT,
    TURN_RIGHT,
    guide,
)
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

_OWN = (
    (PURE, 0.0),
    (LEAD, 0.0),
    (LAG, 0.0),
    (HIGH_YO_YO, 0.0),
    (BREAK, 0.0),
    (EXTEND, 0.0),
    (TURN_LEFT, 1.0),
    (TURN_RIGHT, 1.0),
    (TURN_LEFT, 0.0),
    (TURN_RIGHT, 0.0),
    (PULL_UP, 1.0),
    (PUSH_OVER, 0.0),
    (HOLD, 0.0),
    (ACCELERATE, 0.0),
)
_FOE = (
    (PURE, 0.0),
    (BREAK, 0.0),
    (TURN_LEFT, 1.0),
    (TURN_RIGHT, 1.0),
    (PULL_UP, 1.0),
    (ACCELERATE, 0.0),
    (LAG, 0.0),
)
OWN_CANDIDATES = len(_OWN)
OWN_TRACKING = 6
"""The first of the own candidates are relative to the enemy."""
FOE_CANDIDATES = len(_FOE)
OwnKinds = wp.types.vector(length=OWN_CANDIDATES, dtype=wp.int32)
OwnLoads = wp.types.vector(length=OWN_CANDIDATES, dtype=wp.float32)
FoeKinds = wp.types.vector(length=FOE_CANDIDATES, dtype=wp.int32)
FoeLoads = wp.types.vector(length=FOE_CANDIDATES, dtype=wp.float32)
OWN_KINDS = wp.constant(OwnKinds(*(int(kind) for kind, _ in _OWN)))
OWN_LOADS = wp.constant(OwnLoads(*(load for _, load in _OWN)))
FOE_KINDS = wp.constant(FoeKinds(*(int(kind) for kind, _ in _FOE)))
FOE_LOADS = wp.constant(FoeLoads(*(load for _, load in _FOE)))

SOFT_CONE = wp.constant(0.04)
"""Angle in rad over which the worth of pointing at each other falls: a hard cone would be missed between two steps."""
CRASH_WORTH = wp.constant(6.0)


@wp.func
def shot_quality(view: Sight, rules: Rules) -> float:
    """How well a gun would hit, from 0 to 1: nearness times how close the nose points."""
    near = wp.clamp((1.3 * rules.gun_range_max - view.range) / rules.gun_range_max, 0.0, 1.0)
    return near * wp.exp(-view.ata / SOFT_CONE)


@wp.func
def flown_ahead(kind: int, load: float, own: Motion, foe: Motion, view: Sight, airframe: Airframe) -> Motion:
    """One look-ahead step of an aircraft that flies a maneuver."""
    air = air_at(-own.position[2])
    return integrate(own, guide(kind, wp.vec3(load, 0.0, 0.0), own, foe, view, airframe, air), airframe, air)


@wp.func
def entry(
    kind: int,
    load: float,
    foe_kind: int,
    foe_load: float,
    own: Motion,
    foe: Motion,
    own_airframe: Airframe,
    foe_airframe: Airframe,
    rules: Rules,
    steps: int,
    gun_worth: float,
) -> float:
    """One entry of the game matrix: advantage over the enemy's at the end, hits on the way, the danger of the floor."""
    mine = own
    theirs = foe
    worth = wp.float32(0.0)
    lowest = wp.float32(1.0e9)
    for _ in range(steps):
        view = sight(mine, theirs)
        back = sight(theirs, mine)
        moved = flown_ahead(kind, load, mine, theirs, view, own_airframe)
        theirs = flown_ahead(foe_kind, foe_load, theirs, mine, back, foe_airframe)
        mine = moved
        view = sight(mine, theirs)
        back = sight(theirs, mine)
        worth = worth + gun_worth * own_airframe.substep_s * (shot_quality(view, rules) - shot_quality(back, rules))
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
def best_candidate(
    world: World,
    rules: Rules,
    ahead: wp.array[Airframe],
    n: int,
    s: int,
    target: int,
    answers: int,
    steps: int,
    gun_worth: float,
    candidates: int,
) -> wp.vec2:
    """The candidate with the best worst case against the first ``answers`` of the enemy: (choice, load residual).

    Only the first ``candidates`` are looked at; the choice is -1 where the library has none of them.
    """
    own = world.motion[n, s]
    foe = world.motion[n, target]
    best = wp.float32(-1.0e9)
    found = wp.vec2(-1.0, 0.0)
    for i in range(candidates):
        kind = OWN_KINDS[i]
        choice = index_of(world, kind)
        if choice >= 0:  # noqa: SIM102 - Warp evaluates both sides of an ``and``
            if world.mask_maneuver[n, s, choice]:
                worst = wp.float32(1.0e9)
                for j in range(answers):
                    if worst > best:  # else it is out of the running already
                        worth = entry(
                            kind,
                            OWN_LOADS[i],
                            FOE_KINDS[j],
                            FOE_LOADS[j],
                            own,
                            foe,
                            ahead[s],
                            ahead[target],
                            rules,
                            steps,
                            gun_worth,
                        )
                        worst = wp.min(worst, worth)
                if worst > best:
                    best = worst
                    found = wp.vec2(float(choice), OWN_LOADS[i])
    return found
