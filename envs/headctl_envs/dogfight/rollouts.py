"""The game matrix of the ace: entries that are flown on to an end that counts.

As in Austin, Carbone, Falco, Hinz and Lewis (NASA, 1987), an own maneuver meets an answer of the enemy, for a second.
Then both go on by a simple rule, break if he is behind and near, else pursue: the rollouts of Bertsekas (*Rollout,
Policy Iteration, and Distributed Reinforcement Learning*, 2020). What both would hit on the way and where they end is
the worth of the entry; a row is worth the mean of its entries and its worst one, half and half. The worst alone would
despair of every position that a perfect enemy wins; the mean alone would hope for a fool.
"""

from typing import Any

import warp as wp

from headctl_envs.dogfight.flight import Air, Airframe, G, Motion, air_after, air_at, integrate
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.maneuvers import (
    ACCELERATE,
    BREAK,
    DECELERATE,
    EXTEND,
    HIGH_YO_YO,
    LAG,
    LEAD,
    PULL_UP,
    PURE,
    PUSH_OVER,
    TURN_LEFT,
    TURN_RIGHT,
    guide,
)
from headctl_envs.dogfight.numerics import exp_of, tanh_of
from headctl_envs.dogfight.piloting import index_of
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

RULE = wp.constant(-1)
"""Not a maneuver: go by the simple rule from the start."""

_OWN = (
    (PURE, 0.0, 0.0),
    (LEAD, 0.0, 0.0),
    (LAG, 0.0, 0.0),
    (HIGH_YO_YO, 0.0, 0.0),
    (BREAK, 1.0, 0.0),
    (BREAK, 1.0, 1.0),
    (BREAK, 1.0, -1.0),
    (EXTEND, 0.0, 0.0),
    (TURN_LEFT, 1.0, 0.0),
    (TURN_RIGHT, 1.0, 0.0),
    (TURN_LEFT, 1.0, 1.0),
    (TURN_RIGHT, 1.0, -1.0),
    (PULL_UP, 1.0, 0.0),
    (PUSH_OVER, 1.0, 0.0),
    (DECELERATE, 0.0, 0.0),
    (ACCELERATE, 0.0, 0.0),
)
_FOE = (
    (RULE, 0.0, 0.0),
    (BREAK, 1.0, 1.0),
    (BREAK, 1.0, -1.0),
    (TURN_LEFT, 1.0, 0.0),
    (TURN_RIGHT, 1.0, 0.0),
)
ROWS = len(_OWN)
COLUMNS = len(_FOE)
RowKinds: Any = wp.types.vector(length=ROWS, dtype=wp.int32)
RowParams: Any = wp.types.vector(length=ROWS, dtype=wp.float32)
ColumnKinds: Any = wp.types.vector(length=COLUMNS, dtype=wp.int32)
ColumnParams: Any = wp.types.vector(length=COLUMNS, dtype=wp.float32)
ROW_KINDS = wp.constant(RowKinds(*(int(kind) for kind, _, _ in _OWN)))
ROW_LOADS = wp.constant(RowParams(*(load for _, load, _ in _OWN)))
ROW_TILTS = wp.constant(RowParams(*(tilt for _, _, tilt in _OWN)))
COLUMN_KINDS = wp.constant(ColumnKinds(*(int(kind) for kind, _, _ in _FOE)))
COLUMN_LOADS = wp.constant(ColumnParams(*(load for _, load, _ in _FOE)))
COLUMN_TILTS = wp.constant(ColumnParams(*(tilt for _, _, tilt in _FOE)))

STEPS = wp.constant(14)
"""Length of an entry in steps of ``LOOK_STEP_S``: 3.5 s."""
COMMITTED = wp.constant(4)
"""Steps before the rule takes over: 1 s."""
SOFT_CONE = wp.constant(0.035)
"""Angle in rad over which the worth of a shot falls."""
GUN_WORTH = wp.constant(4.0)
"""Worth of a second of hits at the shortest range, in units of the position's."""
FADE_S = wp.constant(6.0)
"""The farther ahead, the less a hit counts: plans change."""
CRASH_WORTH = wp.constant(20.0)
FAR_M = wp.constant(3500.0)
"""Beyond this range the enemy's answers make no difference within the look-ahead: only his rule is looked at."""
WORST_SHARE = wp.constant(0.5)


@wp.func
def shot(view: Sight, rules: Rules) -> float:
    """Damage per second of a gun, as a share, with a cone softer than the real one: plans are not that exact."""
    near = wp.clamp((rules.gun_range_max - view.range) / (rules.gun_range_max - rules.gun_range_min), 0.0, 1.0)
    far = wp.where(view.range < 0.6 * rules.gun_range_min, 0.0, 1.0)
    return near * far * exp_of(-view.ata / SOFT_CONE)


@wp.func
def by_rule(view: Sight, back: Sight) -> int:
    """What both do once their maneuver is over."""
    kind = wp.int32(PURE)
    if view.ata > 1.6 and back.ata < 0.7 and view.range < 1500.0:
        kind = BREAK
    return kind


@wp.func
def step_ahead(
    kind: int,
    load: float,
    tilt: float,
    own: Motion,
    foe: Motion,
    view: Sight,
    back: Sight,
    airframe: Airframe,
    air: Air,
) -> Motion:
    """One look-ahead step of an aircraft that flies a maneuver, or goes by the rule; ``air`` is the air around it."""
    which = kind
    params = wp.vec3(load, 0.0, tilt)
    if which < 0:
        which = by_rule(view, back)
        params = wp.vec3(0.0, 0.0, 0.0)
    return integrate(own, guide(which, params, own, foe.speed, view, airframe, air), airframe, air)


@wp.func
def standing_of(own: Motion, foe: Motion, view: Sight, back: Sight) -> float:
    """Position at the end: angles, nose, energy."""
    angles = (back.ata + back.aa - view.ata - view.aa) / (2.0 * wp.pi)
    near = 0.3 + 0.7 * exp_of(-wp.abs(view.range - 500.0) / 2000.0)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    return 2.0 * angles * near + 0.3 * tanh_of((energy - foe_energy) / 1000.0)


@wp.func
def entry(
    kind: int,
    load: float,
    tilt: float,
    foe_kind: int,
    foe_load: float,
    foe_tilt: float,
    own: Motion,
    foe: Motion,
    own_airframe: Airframe,
    foe_airframe: Airframe,
    rules: Rules,
) -> float:
    """One entry of the game matrix: hits on the way, the position at the end, the danger of the floor."""
    mine = own
    theirs = foe
    worth = wp.float32(0.0)
    lowest = wp.float32(1.0e9)
    view = sight(mine, theirs)
    back = sight(theirs, mine)
    air = air_at(-mine.position[2])
    their_air = air_at(-theirs.position[2])
    for k in range(STEPS):
        here = wp.where(k < COMMITTED, kind, RULE)
        there = wp.where(k < COMMITTED, foe_kind, RULE)
        moved = step_ahead(here, load, tilt, mine, theirs, view, back, own_airframe, air)
        theirs = step_ahead(there, foe_load, foe_tilt, theirs, mine, back, view, foe_airframe, their_air)
        mine = moved
        air = air_after(air, -mine.position[2])
        their_air = air_after(their_air, -theirs.position[2])
        view = sight(mine, theirs)
        back = sight(theirs, mine)
        time = own_airframe.substep_s * float(k + 1)
        fade = exp_of(-time / FADE_S)
        worth = worth + GUN_WORTH * fade * own_airframe.substep_s * (shot(view, rules) - shot(back, rules))
        if view.range < 40.0:
            worth = worth - 1.0
        lowest = wp.min(lowest, -mine.position[2] - rules.floor_m - 1.5 * wp.max(0.0, view.own_forward[2]) * mine.speed)
    worth = worth + standing_of(mine, theirs, view, back)
    if lowest < 60.0:
        worth = worth - CRASH_WORTH
    return worth


@wp.func
def value_of(i: int, answers: int, own: Motion, foe: Motion, mine: Airframe, theirs: Airframe, rules: Rules) -> wp.vec2:
    """Worst and sum of the entries of row ``i`` in the first ``answers`` columns."""
    worst = wp.float32(1.0e9)
    total = wp.float32(0.0)
    for j in range(answers):
        worth = entry(
            ROW_KINDS[i],
            ROW_LOADS[i],
            ROW_TILTS[i],
            COLUMN_KINDS[j],
            COLUMN_LOADS[j],
            COLUMN_TILTS[j],
            own,
            foe,
            mine,
            theirs,
            rules,
        )
        worst = wp.min(worst, worth)
        total = total + worth
    return wp.vec2(worst, total)


@wp.func
def best_row(world: World, rules: Rules, ahead: wp.array[Airframe], n: int, s: int, target: int) -> wp.vec3:
    """The maneuver that does best: (choice, load residual, lift vector residual); choice -1 if there is none."""
    own = world.motion[n, s]
    foe = world.motion[n, target]
    answers = wp.where(world.view[n, s].range > FAR_M, 1, COLUMNS)
    best = wp.float32(-1.0e9)
    found = wp.vec3(-1.0, 0.0, 0.0)
    for i in range(ROWS):
        choice = index_of(world, ROW_KINDS[i])
        if choice >= 0:  # noqa: SIM102 - Warp evaluates both sides of an ``and``
            if world.mask_maneuver[n, s, choice]:
                found_here = value_of(i, answers, own, foe, ahead[s], ahead[target], rules)
                value = WORST_SHARE * found_here[0] + (1.0 - WORST_SHARE) * found_here[1] / float(answers)
                if value > best:
                    best = value
                    found = wp.vec3(float(choice), ROW_LOADS[i], ROW_TILTS[i])
    return found
