"""Geometry between two aircraft, defined once for guidance, guns, observations and rewards.

Convention: ATA (antenna train angle) is the angle between one's own velocity and the line of sight to the other; AA
(aspect angle) is the angle between the *other's* velocity and the same line of sight. AA = 0: dead astern of him;
AA = pi: he points at me. ATA = 0: my nose is on him.
"""

import warp as wp

from headctl_envs.dogfight.flight import Motion, forward_of
from headctl_envs.dogfight.numerics import arc_tangent
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

RANGE_MIN = wp.constant(1.0)
"""Distance in m that divisors never fall below."""


@struct
class Sight:
    """What one aircraft sees of another, in NED; angles in rad, SI units.

    ``los`` is the unit line of sight, ``los_rate`` its angular velocity, ``closure`` positive when the range shrinks.
    """

    los: wp.vec3
    range: wp.float32
    closure: wp.float32
    los_rate: wp.vec3
    ata: wp.float32
    aa: wp.float32
    own_forward: wp.vec3
    other_forward: wp.vec3


@wp.func(inline=True)
def angle_between(a: wp.vec3, b: wp.vec3) -> float:
    """Angle between two vectors in rad, accurate near 0 and pi, where the arc cosine is not."""
    return arc_tangent(wp.length(wp.cross(a, b)), wp.dot(a, b))


@wp.func(inline=True)
def sight_of(own: Motion, goal: wp.vec3, course: wp.vec3, speed: float) -> Sight:
    """Line of sight, range and rates from ``own`` to what is at ``goal`` and flies along the unit vector ``course``.

    The angles, which few need every substep, are 0.
    """
    view = Sight()
    offset = goal - own.position
    view.range = wp.max(wp.length(offset), RANGE_MIN)
    per_range = 1.0 / view.range
    view.los = offset * per_range
    view.own_forward = forward_of(own.attitude)
    view.other_forward = course
    relative = course * speed - view.own_forward * own.speed
    view.closure = -wp.dot(relative, view.los)
    view.los_rate = wp.cross(view.los, relative) * per_range
    return view


@wp.func(inline=True)
def glance(own: Motion, other: Motion) -> Sight:
    """Line of sight, range and rates from ``own`` to ``other``, without angles."""
    return sight_of(own, other.position, forward_of(other.attitude), other.speed)


@wp.func(inline=True)
def angle_off_nose(view: Sight) -> float:
    """ATA of a glance."""
    return angle_between(view.own_forward, view.los)


@wp.func(inline=True)
def sight(own: Motion, other: Motion) -> Sight:
    """Line of sight, range, rates and angles from ``own`` to ``other``."""
    view = glance(own, other)
    view.ata = angle_off_nose(view)
    view.aa = angle_between(view.other_forward, view.los)
    return view
