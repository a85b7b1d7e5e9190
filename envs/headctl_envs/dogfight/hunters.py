"""The pilots that look ahead, ``fighter`` and ``ace``: a module of its own, compiled when one is first asked for."""

import warp as wp

from headctl_envs.dogfight.flight import Airframe, air_at, load_factor_available
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.kernels import Actions
from headctl_envs.dogfight.lookahead import best_candidate
from headctl_envs.dogfight.maneuvers import BREAK, NOTCH, PULL_UP, PURE, Frame, frame_of
from headctl_envs.dogfight.names import PILOTS
from headctl_envs.dogfight.piloting import (
    index_of,
    manoeuvre,
    sinking,
    soonest_threat,
    weapon_choice,
    write,
)
from headctl_envs.dogfight.rollouts import MATRIX_ROWS, ROWS, best_row
from headctl_envs.dogfight.threats import incoming, incoming_view
from headctl_envs.dogfight.warp_struct import fast_arithmetic
from headctl_envs.dogfight.world import Rules, World

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options(
    {
        "enable_backward": False,
        "max_unroll": 0,  # loops over lanes stay loops
        "cpu_compiler_flags": fast_arithmetic(wp.config.cpu_compiler_flags),
    }
)

ACE = wp.constant(PILOTS.index("ace"))

FIGHTER_FLARE_S = wp.constant(5.0)
"""A flare is dropped when a missile is nearer than this."""
ACE_FLARE_S = wp.constant(6.0)
FIGHTER_FIRE_SHARE = wp.constant(0.12)
"""The gun fires when a hit does this share of the largest damage."""
ACE_FIRE_SHARE = wp.constant(0.02)
NOTCH_S = wp.constant(12.0)
SHORT_S = wp.constant(4.0)
"""A missile between these two is put abeam: nearer, there is no time left for it."""
SLOW = wp.constant(185.0)
"""The energy floor in m/s: slower, the fighter turns as softly as its maneuvers allow, unless its nose is nearly on."""
LAUNCH_SHARE = wp.constant(0.7)
"""A missile leaves inside this share of its reach."""
SIGHTS_RAD = wp.constant(0.06)
SIGHTS_M = wp.constant(800.0)
"""Who is behind, nearer than this and with his nose within that angle may hit in the next moment."""
JINK_S = wp.constant(0.8)


@wp.func
def in_his_sights(view: Sight, back: Sight) -> bool:
    """Whether the enemy is behind and may hit in the next moment."""
    return view.ata > 1.2 and back.ata < SIGHTS_RAD and view.range < SIGHTS_M


@wp.func
def level_out(world: World, frame: Frame) -> wp.vec4:
    """The way out of a dive, and off the floor: pull until the nose is a little up."""
    return wp.vec4(float(index_of(world, PULL_UP)), wp.clamp(12.0 * frame.forward[2], -1.0, 1.0), 0.0, 0.0)


@wp.kernel
def hunter(
    world: World,
    rules: Rules,
    airframes: wp.array[Airframe],
    actions: Actions,
    ahead: wp.array[Airframe],
    wanted: wp.array2d[wp.bool],
    which: int,
) -> None:
    """Writes the actions of a pilot that looks ahead, one thread per seat, for those seats that are ``wanted``.

    ``ahead`` are the airframes with the look-ahead's step, ``which`` is the pilot's place in ``PILOTS``.
    """
    memory = wp.zeros(shape=wp.static(MATRIX_ROWS * ROWS), dtype=wp.float32)
    rows = wp.array(ptr=memory.ptr, shape=(MATRIX_ROWS, ROWS), dtype=wp.float32)
    tid = wp.tid()
    n = tid / rules.seats
    s = tid % rules.seats
    if not wanted[n, s]:
        return
    if world.health[n, s] <= 0.0:
        write(actions, n, s, 0, 0, wp.vec3(0.0, 0.0, 0.0))
        return
    own = world.motion[n, s]
    target = world.target[n, s]
    foe = world.motion[n, target]
    view = world.view[n, s]
    back = sight(foe, own)
    frame = frame_of(own, view)
    air = air_at(-own.position[2])
    available = load_factor_available(airframes[s], air, own.speed)
    threat = soonest_threat(world, rules, n, s)
    flare_at = wp.where(which == ACE, ACE_FLARE_S, FIGHTER_FLARE_S)
    share = wp.where(which == ACE, ACE_FIRE_SHARE, FIGHTER_FIRE_SHARE)
    salvo = wp.where(which == ACE, 1, 0)
    weapon = weapon_choice(world, rules, n, s, threat, flare_at, LAUNCH_SHARE, share, salvo)
    answer = wp.vec4(0.0, 0.0, 0.0, 0.0)
    if sinking(own, rules, available) and frame.forward[2] > -0.1:
        answer = level_out(world, frame)
    elif threat > SHORT_S and threat < NOTCH_S:
        missile_view = incoming_view(world, n, own, incoming(world, rules, n, s))
        answer = manoeuvre(world, NOTCH, n, s, own, foe, frame, missile_view, available, airframes[s], air)
    elif which == ACE:
        row = best_row(world, rules, ahead, rows, n, s, target)
        answer = wp.vec4(row[0], row[1], 0.0, row[2])
        if row[0] < 0.0:
            answer = manoeuvre(world, PURE, n, s, own, foe, frame, view, available, airframes[s], air)
    elif in_his_sights(view, back):
        # Jink: break, and turn the lift to one side and to the other.
        side = int(float(world.clock[n]) * rules.decision_s / JINK_S) % 2
        answer = manoeuvre(world, BREAK, n, s, own, foe, frame, view, available, airframes[s], air)
        answer[1] = 1.0
        answer[3] = wp.where(side == 0, 1.0, -1.0)
    else:
        found = best_candidate(world, rules, ahead, n, s, target)
        answer = wp.vec4(float(found), 0.0, 0.0, 0.0)
        if found < 0:
            answer = manoeuvre(world, PURE, n, s, own, foe, frame, view, available, airframes[s], air)
        if own.speed < SLOW and view.ata > 0.35:
            answer[1] = -1.0  # the energy floor
    if threat < flare_at:
        answer[2] = -1.0  # without the afterburner a flare outshines the aircraft
    write(actions, n, s, int(answer[0]), weapon, wp.vec3(answer[1], answer[2], answer[3]))
