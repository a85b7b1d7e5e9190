"""Scripted pilots: kernels that write an action for every seat from the current state.

They use the same three heads as any agent and obey the same masks. What they do depends on the state and on the
counters (seed, game, episode, time) alone, so a pilot plays the same game whatever batch it is in.

``straight`` flies straight and level and never fires. ``random`` flies a random legal maneuver with random residuals,
changed about every 3 s, and now and then uses a random legal weapon. ``weave`` turns left and right in turn and shoots
at what comes before its nose. ``pursuit`` flies the pursuit law. ``fighter`` and ``ace`` look ahead; they are in
``hunters``.
"""

import warp as wp

from headctl_envs.dogfight.flight import Airframe, air_at, load_factor_available
from headctl_envs.dogfight.geometry import sight
from headctl_envs.dogfight.kernels import Actions
from headctl_envs.dogfight.maneuvers import PULL_UP, PURE, TURN_LEFT, TURN_RIGHT, frame_of
from headctl_envs.dogfight.names import PILOTS
from headctl_envs.dogfight.piloting import (
    FIRE_SHARE,
    index_of,
    manoeuvre,
    meeting,
    pull_out,
    sinking,
    soonest_threat,
    weapon_choice,
    write,
)
from headctl_envs.dogfight.weapons import WEAPON_GUN
from headctl_envs.dogfight.world import Rules, World, random_stream

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has neither keyword arguments nor ``in``
wp.set_module_options({"enable_backward": False})

STRAIGHT = wp.constant(PILOTS.index("straight"))
RANDOM = wp.constant(PILOTS.index("random"))
WEAVE = wp.constant(PILOTS.index("weave"))
PURSUIT = wp.constant(PILOTS.index("pursuit"))

PURPOSE_PILOT = wp.constant(1000)
RANDOM_PERIOD_S = wp.constant(3.0)
RANDOM_FIRE_SHARE = wp.constant(0.3)
WEAVE_PERIOD_S = wp.constant(12.0)


@wp.func
def fly_random(world: World, rules: Rules, actions: Actions, seed: int, n: int, s: int) -> None:
    """A random legal maneuver per slot of 3 s; the slots' phase differs from seat to seat."""
    game = rules.game_offset + n
    seat_rng = random_stream(seed, game, world.episode[n], PURPOSE_PILOT + s)
    phase = wp.randf(seat_rng) * RANDOM_PERIOD_S
    slot = int((float(world.clock[n]) * rules.decision_s + phase) / RANDOM_PERIOD_S)
    rng = random_stream(int(seat_rng), game, slot, PURPOSE_PILOT + s)
    choice = wp.randi(rng, 0, world.kinds.shape[0])
    params = wp.vec3(2.0 * wp.randf(rng) - 1.0, 2.0 * wp.randf(rng) - 1.0, 2.0 * wp.randf(rng) - 1.0)
    if not world.mask_maneuver[n, s, choice]:
        choice = 0
        params = wp.vec3(0.0, 0.0, 0.0)
    decision_rng = random_stream(int(seat_rng), game, world.clock[n], PURPOSE_PILOT + rules.seats + s)
    weapon = wp.int32(0)
    if wp.randf(decision_rng) < RANDOM_FIRE_SHARE:
        weapon = WEAPON_GUN
        if rules.armed != 0:
            weapon = wp.randi(decision_rng, 0, world.mask_weapon.shape[2])
        if not world.mask_weapon[n, s, weapon]:
            weapon = 0
    write(actions, n, s, choice, weapon, params)


@wp.func
def fly_weave(world: World, rules: Rules, actions: Actions, n: int, s: int) -> None:
    """Gentle level turns to the left and to the right in turn; half a period apart from wingman to wingman."""
    time = (
        float(world.clock[n]) * rules.decision_s + 0.5 * WEAVE_PERIOD_S * float(s % rules.team) + 0.25 * WEAVE_PERIOD_S
    )
    half = int(2.0 * time / WEAVE_PERIOD_S)
    choice = index_of(world, wp.where(half % 2 == 0, TURN_RIGHT, TURN_LEFT))
    weapon = weapon_choice(world, rules, n, s, soonest_threat(world, rules, n, s), 5.0, 0.6, FIRE_SHARE, 0)
    write(actions, n, s, choice, weapon, wp.vec3(-0.6, 0.0, 0.0))


@wp.func
def fly_pursuit(world: World, rules: Rules, actions: Actions, airframe: Airframe, n: int, s: int) -> None:
    """Pursuit, with the few rules that keep its pilot alive."""
    own = world.motion[n, s]
    foe = world.motion[n, world.target[n, s]]
    view = world.view[n, s]
    back = sight(foe, own)
    frame = frame_of(own, view)
    air = air_at(-own.position[2])
    available = load_factor_available(airframe, air, own.speed)
    weapon = weapon_choice(world, rules, n, s, soonest_threat(world, rules, n, s), 2.0, 0.8, FIRE_SHARE, 0)
    answer = wp.vec4(0.0, 0.0, 0.0, 0.0)
    if sinking(own, rules, available):
        answer = pull_out(world, frame)
    elif meeting(view, back):
        answer = wp.vec4(float(index_of(world, TURN_RIGHT)), 0.0, 0.0, 0.0)
    elif view.range < view.closure and view.ata < 0.5:
        answer = wp.vec4(float(index_of(world, PULL_UP)), 0.0, 0.0, 0.0)
    else:
        answer = manoeuvre(world, PURE, n, s, own, foe, frame, view, available, airframe, air)
    write(actions, n, s, int(answer[0]), weapon, wp.vec3(answer[1], answer[2], answer[3]))


@wp.kernel
def pilot(
    world: World, rules: Rules, airframes: wp.array[Airframe], actions: Actions, seed: wp.array[wp.int32], which: int
) -> None:
    """Writes the actions of pilot ``which`` (its place in ``PILOTS``) for every seat of every game."""
    n = wp.tid()
    for s in range(rules.seats):
        if which == STRAIGHT:
            write(actions, n, s, 0, 0, wp.vec3(0.0, 0.0, 0.0))
        elif which == RANDOM:
            fly_random(world, rules, actions, seed[0], n, s)
        elif which == WEAVE:
            fly_weave(world, rules, actions, n, s)
        else:
            fly_pursuit(world, rules, actions, airframes[s], n, s)
