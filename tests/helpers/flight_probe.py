"""Kernels that call single functions of the dogfight, so that tests can feed them states of their own."""

import math

import numpy as np
import warp as wp
from headctl_envs.dogfight.airframes import AIRFRAMES
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.flight import (
    Airframe,
    Command,
    Motion,
    air_at,
    air_near,
    airframe_struct,
    drag_to_weight,
    integrate,
    lift_per_weight,
    load_factor_available,
    thrust_at_lever,
    thrust_to_weight,
)
from headctl_envs.dogfight.geometry import arc_tangent, sight
from headctl_envs.dogfight.rules import Rules, rules_struct
from headctl_envs.dogfight.weapons import gun_damage_rate, gun_legal, in_gun_zone
from headctl_envs.dogfight.world import MOTION_SIZE

with wp.ScopedLogLevel(wp.LOG_ERROR):
    wp.init()
wp.set_module_options({"enable_backward": False})


@wp.kernel
def forces_kernel(points: wp.array[wp.vec4], airframe: Airframe, out: wp.array2d[wp.float32]):
    i = wp.tid()
    point = points[i]  # altitude, speed, load factor, lever
    air = air_at(point[0])
    mach = point[1] * air.inverse_sound
    slope = lift_per_weight(airframe, air, point[1])
    out[i, 0] = thrust_at_lever(airframe, thrust_to_weight(airframe, air, mach), point[3])
    out[i, 1] = drag_to_weight(airframe, mach, slope, point[2], 0.0)
    out[i, 2] = load_factor_available(airframe, air, point[1])
    out[i, 3] = mach
    out[i, 4] = air.density


@wp.kernel
def fly_kernel(motion: wp.array[Motion], commands: wp.array2d[wp.vec4], airframe: Airframe, repeat: int):
    i = wp.tid()
    state = motion[i]
    for k in range(commands.shape[1]):
        given = commands[i, k]
        command = Command()
        command.load_factor = given[0]
        command.roll_rate = given[1]
        command.lever = given[2]
        command.brake = given[3]
        for _ in range(repeat):
            state = integrate(state, command, airframe, air_at(-state.position[2]))
    motion[i] = state


@wp.kernel
def gun_kernel(motion: wp.array2d[Motion], rules: Rules, out: wp.array2d[wp.float32]):
    i = wp.tid()
    view = sight(motion[i, 0], motion[i, 1])
    out[i, 0] = gun_damage_rate(view, rules)
    out[i, 1] = in_gun_zone(view, rules)
    out[i, 2] = wp.where(gun_legal(view, 1.0, 1.0, rules), 1.0, 0.0)
    out[i, 3] = view.ata
    out[i, 4] = view.aa
    out[i, 5] = view.range
    out[i, 6] = view.closure


@wp.kernel
def air_kernel(heights: wp.array[wp.vec2], out: wp.array2d[wp.float32]):
    i = wp.tid()
    air = air_near(air_at(heights[i][0]), heights[i][1])
    out[i, 0] = air.altitude
    out[i, 1] = air.density
    out[i, 2] = air.inverse_sound
    out[i, 3] = air.ratio_max
    out[i, 4] = air.ratio_mil


@wp.kernel
def arc_tangent_kernel(points: wp.array[wp.vec2], out: wp.array[wp.float32]):
    i = wp.tid()
    out[i] = arc_tangent(points[i][0], points[i][1])


def _launch(kernel, count, inputs):
    with wp.ScopedLogLevel(wp.LOG_ERROR):
        wp.launch(kernel, dim=count, inputs=inputs, device="cpu")


def _vectors(values, dtype):
    return wp.array(np.ascontiguousarray(values, dtype=np.float32), dtype=dtype, device="cpu")


def forces(altitude, speed, load_factor=1.0, lever=1.0):
    """Columns: thrust / W, drag / W, available load factor, Mach, density."""
    points = np.stack(np.broadcast_arrays(altitude, speed, load_factor, lever), -1).reshape(-1, 4)
    out = wp.zeros((len(points), 5), dtype=wp.float32, device="cpu")
    _launch(forces_kernel, len(points), [_vectors(points, wp.vec4), airframe_struct(AIRFRAMES["f16_like"], 0.1), out])
    return out.numpy().astype(np.float64)


def fly(motion, commands, dt, repeat=1):
    """Flies aircraft [n, 11] through commands [n, K, 4], each held for ``repeat`` steps of ``dt``; returns [n, 11]."""
    motion = np.array(motion, dtype=np.float32).reshape(-1, MOTION_SIZE)
    states = wp.array(ptr=motion.ctypes.data, dtype=Motion, shape=len(motion), device="cpu")
    commands = np.broadcast_to(np.asarray(commands, np.float32), (len(motion), *np.shape(commands)[-2:]))
    airframe = airframe_struct(AIRFRAMES["f16_like"], dt)
    _launch(fly_kernel, len(motion), [states, _vectors(commands, wp.vec4), airframe, repeat])
    return motion.astype(np.float64)


def gun(pairs, **options):
    """Columns for pairs [n, 2, 11]: damage rate, in zone, legal, ATA, AA, range, closure."""
    pairs = np.array(pairs, dtype=np.float32).reshape(-1, 2, MOTION_SIZE)
    states = wp.array(ptr=pairs.ctypes.data, dtype=Motion, shape=pairs.shape[:2], device="cpu")
    rules = rules_struct(DogfightConfig(**options), max_decisions=1, game_offset=0)
    out = wp.zeros((len(pairs), 7), dtype=wp.float32, device="cpu")
    _launch(gun_kernel, len(pairs), [states, rules, out])
    return out.numpy().astype(np.float64)


def carried_air(before, altitude):
    """The air at altitudes, carried from others: altitude, density, 1 / sound, thrust ratios (maximum, military)."""
    out = wp.zeros((len(altitude), 5), dtype=wp.float32, device="cpu")
    _launch(air_kernel, len(altitude), [_vectors(np.stack([before, altitude], -1), wp.vec2), out])
    return out.numpy().astype(np.float64)


def arc_tangents(y, x):
    points = np.stack([y, x], -1)
    out = wp.zeros(len(points), dtype=wp.float32, device="cpu")
    _launch(arc_tangent_kernel, len(points), [_vectors(points, wp.vec2), out])
    return out.numpy()


def aircraft(
    *, north=0.0, east=0.0, altitude=5000.0, heading=0.0, climb=0.0, bank=0.0, speed=250.0, load=1.0, lever=0.77
):
    """A motion record [11]; angles in degrees: heading from north, path angle up, bank to the right."""
    h, g, b = (0.5 * math.radians(a) for a in (heading, climb, bank))
    quaternion = _product(_product(_axis(2, h), _axis(1, g)), _axis(0, b))
    return np.array([north, east, -altitude, *quaternion, speed, load, 0.0, lever])


def _axis(axis, half_angle):
    q = np.zeros(4)
    q[axis], q[3] = math.sin(half_angle), math.cos(half_angle)
    return q


def _product(a, b):
    v, w = a[:3], a[3]
    return np.array([*(w * b[:3] + b[3] * v + np.cross(v, b[:3])), w * b[3] - v @ b[:3]])


def directions(motion):
    """Forward, right and down axes in NED of motion records [..., 11], by the full rotation matrix."""
    x, y, z, w = np.moveaxis(np.asarray(motion, np.float64)[..., 3:7], -1, 0)
    forward = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1)
    right = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    down = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
    return forward, right, down
