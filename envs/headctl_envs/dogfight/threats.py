"""Inbound missiles as their target sees them: for the observation, for the notch, for the pilots."""

import warp as wp

from headctl_envs.dogfight.flight import Motion, forward_of
from headctl_envs.dogfight.geometry import RANGE_MIN, Sight, angle_between
from headctl_envs.dogfight.missiles import time_to_go
from headctl_envs.dogfight.world import GUIDED, Missile, Rules, World, first_enemy

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.
# ruff: noqa: PLR0917  - that language has no keyword arguments

wp.set_module_options({"enable_backward": False})


@wp.func
def tracks(missile: Missile, s: int) -> bool:
    """Whether a missile is in the air and tracks seat ``s``: then its pilot is warned."""
    return missile.phase == GUIDED and int(missile.target) == s


@wp.func
def arrival_after(
    missiles: wp.array3d[Missile], rules: Rules, own: Motion, n: int, s: int, after: float, tie: int
) -> wp.vec3i:
    """Shooter, slot and number of the missile that reaches seat ``s`` first after time ``after``, or -1 three times.

    ``tie`` is the number of the missile found before: at equal times the order is that of the numbers.
    """
    found = wp.vec3i(-1, -1, -1)
    best = wp.float32(1.0e9)
    velocity = forward_of(own.attitude) * own.speed
    first = first_enemy(rules, s)
    for i in range(rules.team):
        for m in range(rules.slots):
            if missiles[n, first + i, m].phase == GUIDED:
                missile = missiles[n, first + i, m]
                if tracks(missile, s):
                    time = time_to_go(missile, own.position, velocity)
                    number = i * rules.slots + m
                    if time < best and (time > after or (time == after and number > tie)):
                        best = time
                        found = wp.vec3i(first + i, m, number)
    return found


@wp.func
def incoming(world: World, rules: Rules, n: int, s: int) -> wp.vec2i:
    """Shooter and slot of the missile that reaches seat ``s`` first, or (-1, -1)."""
    found = arrival_after(world.missiles, rules, world.motion[n, s], n, s, -1.0, -1)
    return wp.vec2i(found[0], found[1])


@wp.func
def incoming_view(world: World, n: int, own: Motion, which: wp.vec2i) -> Sight:
    """What ``own`` sees of the missile that ``which`` names."""
    return missile_view(world.missiles[n, which[0], which[1]], own)


@wp.func
def missile_view(missile: Missile, own: Motion) -> Sight:
    """What ``own`` sees of a missile, in the form in which it sees aircraft."""
    view = Sight()
    offset = missile.position - own.position
    view.range = wp.max(wp.length(offset), RANGE_MIN)
    view.los = offset / view.range
    view.own_forward = forward_of(own.attitude)
    view.other_forward = wp.normalize(missile.velocity)
    relative = missile.velocity - view.own_forward * own.speed
    view.closure = -wp.dot(relative, view.los)
    view.los_rate = wp.cross(view.los, relative) / view.range
    view.ata = angle_between(view.own_forward, view.los)
    view.aa = angle_between(view.other_forward, view.los)
    return view
