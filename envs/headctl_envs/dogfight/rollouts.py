"""The game matrix of the ace: entries that are flown on to an end that counts.

As in Austin, Carbone, Falco, Hinz and Lewis (NASA, 1987), an own maneuver meets an answer of the enemy, for a second.
Then both go on by a simple rule, break if he is behind and near, else pursue: the rollouts of Bertsekas (*Rollout,
Policy Iteration, and Distributed Reinforcement Learning*, 2020). What both would hit on the way and where they end is
the worth of the entry; a row is worth the mean of its entries and its worst one, half and half. The worst alone would
despair of every position that a perfect enemy wins; the mean alone would hope for a fool.
"""

from typing import Any

import warp as wp

from headctl_envs.dogfight.flight import Airframe, G, Motion, air_at, integrate
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.lanes import MOTION_ROWS, OTHER, SELF, motion_at, put_motion
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
"""Sixteen, so that a compiler makes vector instructions of the loop over them: see ``lanes``."""
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

LOAD, TILT, MANEUVER, VALUE, LOWEST, END, WORST, TOTAL = (wp.constant(2 * MOTION_ROWS + i) for i in range(8))
"""Rows of numbers behind the motions of both: residuals and maneuver, hits so far, least height, position at the end,
worst entry so far, sum of the entries."""
MATRIX_ROWS = 2 * MOTION_ROWS + 8


@wp.func(inline=True)
def shot(view: Sight, rules: Rules) -> float:
    """Damage per second of a gun, as a share, with a cone softer than the real one: plans are not that exact."""
    near = wp.clamp((rules.gun_range_max - view.range) / (rules.gun_range_max - rules.gun_range_min), 0.0, 1.0)
    far = wp.where(view.range < 0.6 * rules.gun_range_min, 0.0, 1.0)
    return near * far * exp_of(-view.ata / SOFT_CONE)


@wp.func(inline=True)
def by_rule(view: Sight, back: Sight) -> int:
    """What both do once their maneuver is over."""
    return wp.where(view.ata > 1.6 and back.ata < 0.7 and view.range < 1500.0, BREAK, PURE)


@wp.func(inline=True)
def step_ahead(
    kind: int, load: float, tilt: float, own: Motion, foe_speed: float, view: Sight, back: Sight, airframe: Airframe
) -> Motion:
    """One look-ahead step of an aircraft that flies a maneuver, or goes by the rule."""
    ruled = kind < 0
    which = wp.where(ruled, by_rule(view, back), kind)
    params = wp.vec3(wp.where(ruled, 0.0, load), 0.0, wp.where(ruled, 0.0, tilt))
    air = air_at(-own.position[2])
    return integrate(own, guide(which, params, own, foe_speed, view, airframe, air), airframe, air)


@wp.func(inline=True)
def standing_of(own: Motion, foe: Motion, view: Sight, back: Sight) -> float:
    """Position at the end: angles, nose, energy."""
    angles = (back.ata + back.aa - view.ata - view.aa) / (2.0 * wp.pi)
    near = 0.3 + 0.7 * exp_of(-wp.abs(view.range - 500.0) / 2000.0)
    energy = -own.position[2] + 0.5 * own.speed * own.speed / G
    foe_energy = -foe.position[2] + 0.5 * foe.speed * foe.speed / G
    return 2.0 * angles * near + 0.3 * tanh_of((energy - foe_energy) / 1000.0)


@wp.func(inline=True)
def start_entries(rows: wp.array2d[wp.float32], own: Motion, foe: Motion) -> None:
    """Begins every row's entry of a column from the present state."""
    for row in range(ROWS):
        put_motion(rows, SELF, row, own)
        put_motion(rows, OTHER, row, foe)
        rows[LOAD, row] = ROW_LOADS[row]
        rows[TILT, row] = ROW_TILTS[row]
        rows[MANEUVER, row] = float(ROW_KINDS[row])
        rows[VALUE, row] = 0.0
        rows[LOWEST, row] = 1.0e9


@wp.func(inline=True)
def fly_entries(
    rows: wp.array2d[wp.float32],
    committed: wp.bool,
    foe_kind: int,
    foe_load: float,
    foe_tilt: float,
    time: float,
    own_airframe: Airframe,
    foe_airframe: Airframe,
    rules: Rules,
) -> None:
    """One look-ahead step of a column's entries, all rows side by side (see ``lanes``): the hits, the danger."""
    fade = exp_of(-time / FADE_S) * own_airframe.substep_s
    there = wp.where(committed, foe_kind, RULE)
    for row in range(ROWS):
        own = motion_at(rows, SELF, row)
        foe = motion_at(rows, OTHER, row)
        view = sight(own, foe)
        back = sight(foe, own)
        here = wp.where(committed, int(rows[MANEUVER, row]), RULE)
        mine = step_ahead(here, rows[LOAD, row], rows[TILT, row], own, foe.speed, view, back, own_airframe)
        theirs = step_ahead(there, foe_load, foe_tilt, foe, own.speed, back, view, foe_airframe)
        view = sight(mine, theirs)
        back = sight(theirs, mine)
        worth = GUN_WORTH * fade * (shot(view, rules) - shot(back, rules)) - wp.where(view.range < 40.0, 1.0, 0.0)
        height = -mine.position[2] - rules.floor_m - 1.5 * wp.max(0.0, view.own_forward[2]) * mine.speed
        rows[VALUE, row] = rows[VALUE, row] + worth
        rows[LOWEST, row] = wp.min(rows[LOWEST, row], height)
        rows[END, row] = standing_of(mine, theirs, view, back)
        put_motion(rows, SELF, row, mine)
        put_motion(rows, OTHER, row, theirs)


@wp.func(inline=True)
def best_row(
    world: World, rules: Rules, ahead: wp.array[Airframe], rows: wp.array2d[wp.float32], n: int, s: int, target: int
) -> wp.vec3:
    """The maneuver that does best: (choice, load residual, lift vector residual); choice -1 if there is none.

    ``rows`` is scratch memory [MATRIX_ROWS, ROWS].
    """
    own = world.motion[n, s]
    foe = world.motion[n, target]
    own_airframe = ahead[s]
    foe_airframe = ahead[target]
    answers = wp.where(world.view[n, s].range > FAR_M, 1, COLUMNS)
    for row in range(ROWS):
        rows[WORST, row] = 1.0e9
        rows[TOTAL, row] = 0.0
    for j in range(answers):
        start_entries(rows, own, foe)
        for k in range(STEPS):
            time = own_airframe.substep_s * float(k + 1)
            fly_entries(
                rows,
                k < COMMITTED,
                COLUMN_KINDS[j],
                COLUMN_LOADS[j],
                COLUMN_TILTS[j],
                time,
                own_airframe,
                foe_airframe,
                rules,
            )
        for row in range(ROWS):
            worth = rows[VALUE, row] + rows[END, row] - wp.where(rows[LOWEST, row] < 60.0, CRASH_WORTH, 0.0)
            rows[WORST, row] = wp.min(rows[WORST, row], worth)
            rows[TOTAL, row] = rows[TOTAL, row] + worth
    best = wp.float32(-1.0e9)
    found = wp.vec3(-1.0, 0.0, 0.0)
    for row in range(ROWS):
        choice = index_of(world, ROW_KINDS[row])
        if choice >= 0:  # noqa: SIM102 - Warp evaluates both sides of an ``and``
            if world.mask_maneuver[n, s, choice]:
                value = WORST_SHARE * rows[WORST, row] + (1.0 - WORST_SHARE) * rows[TOTAL, row] / float(answers)
                if value > best:
                    best = value
                    found = wp.vec3(float(choice), ROW_LOADS[row], ROW_TILTS[row])
    return found
