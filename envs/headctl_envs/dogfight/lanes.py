"""Flight of many aircraft side by side: what one decides is arithmetic alone, so that a processor does eight at a time.

A thread of the step's kernel flies one seat of several games at once. It gathers what the flight depends on into rows
of numbers, one number per game ("lane"), flies all lanes in one loop, and puts the results back. The loop is what a
compiler turns into vector instructions; it does so as long as everything in it is inlined, without calls and without
branches but for numbers (functions that return vectors from several branches stop it), over memory of the kernel's own,
and as long as the number of lanes is a constant of at least sixteen. All lanes are flown, whether there is a game or
not: so every game's numbers go through the same instructions, whatever the batch.

Shape legend: L lanes, R rows of numbers.
"""

from typing import Any

import warp as wp

from headctl_envs.dogfight.flight import Air, Airframe, Motion, integrate
from headctl_envs.dogfight.geometry import sight_of
from headctl_envs.dogfight.maneuvers import guide

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

ON_CPU = 16
"""Lanes of a thread on the CPU: two of its vectors."""
ON_CUDA = 1
"""There the threads of a warp are the lanes."""

POSITION = wp.constant(0)
ATTITUDE = wp.constant(3)
SPEED = wp.constant(7)
LOAD_FACTOR = wp.constant(8)
ROLL_RATE = wp.constant(9)
LEVER = wp.constant(10)
AIR = wp.constant(11)
GOAL = wp.constant(18)
COURSE = wp.constant(21)
GOAL_SPEED = wp.constant(24)
KIND = wp.constant(25)
TRIM = wp.constant(26)
ROWS = wp.constant(29)
"""R: eleven numbers of a motion, seven of the air around it, seven of what it flies for, maneuver and residuals."""


@wp.func(inline=True)
def put(rows: wp.array2d[wp.float32], row: int, lane: int, vector: wp.vec3) -> None:
    """Writes a vector into three rows."""
    rows[row, lane] = vector[0]
    rows[row + 1, lane] = vector[1]
    rows[row + 2, lane] = vector[2]


@wp.func(inline=True)
def vector_at(rows: wp.array2d[wp.float32], row: int, lane: int) -> wp.vec3:
    """The vector in three rows."""
    return wp.vec3(rows[row, lane], rows[row + 1, lane], rows[row + 2, lane])


@wp.func(inline=True)
def put_motion(rows: wp.array2d[wp.float32], lane: int, motion: Motion) -> None:
    """Writes a motion into its rows."""
    put(rows, POSITION, lane, motion.position)
    rows[ATTITUDE, lane] = motion.attitude[0]
    rows[ATTITUDE + 1, lane] = motion.attitude[1]
    rows[ATTITUDE + 2, lane] = motion.attitude[2]
    rows[ATTITUDE + 3, lane] = motion.attitude[3]
    rows[SPEED, lane] = motion.speed
    rows[LOAD_FACTOR, lane] = motion.load_factor
    rows[ROLL_RATE, lane] = motion.roll_rate
    rows[LEVER, lane] = motion.lever


@wp.func(inline=True)
def motion_at(rows: wp.array2d[wp.float32], lane: int) -> Motion:
    """The motion in its rows."""
    motion = Motion()
    motion.position = vector_at(rows, POSITION, lane)
    motion.attitude = wp.quat(
        rows[ATTITUDE, lane], rows[ATTITUDE + 1, lane], rows[ATTITUDE + 2, lane], rows[ATTITUDE + 3, lane]
    )
    motion.speed = rows[SPEED, lane]
    motion.load_factor = rows[LOAD_FACTOR, lane]
    motion.roll_rate = rows[ROLL_RATE, lane]
    motion.lever = rows[LEVER, lane]
    return motion


@wp.func(inline=True)
def put_air(rows: wp.array2d[wp.float32], lane: int, air: Air) -> None:
    """Writes the air around an aircraft into its rows."""
    rows[AIR, lane] = air.altitude
    rows[AIR + 1, lane] = air.density
    rows[AIR + 2, lane] = air.inverse_sound
    rows[AIR + 3, lane] = air.ratio_max
    rows[AIR + 4, lane] = air.ratio_mil
    rows[AIR + 5, lane] = air.lapse
    rows[AIR + 6, lane] = air.cooling


@wp.func(inline=True)
def air_in(rows: wp.array2d[wp.float32], lane: int) -> Air:
    """The air in its rows."""
    air = Air()
    air.altitude = rows[AIR, lane]
    air.density = rows[AIR + 1, lane]
    air.inverse_sound = rows[AIR + 2, lane]
    air.ratio_max = rows[AIR + 3, lane]
    air.ratio_mil = rows[AIR + 4, lane]
    air.lapse = rows[AIR + 5, lane]
    air.cooling = rows[AIR + 6, lane]
    return air


def flight_of(lanes: int) -> Any:
    """Returns the Warp function that flies so many aircraft of one type for a substep, in place."""

    @wp.func(inline=True)
    def fly_lanes(rows: wp.array2d[wp.float32], airframe: Airframe) -> None:
        for lane in range(lanes):
            own = motion_at(rows, lane)
            air = air_in(rows, lane)
            goal = vector_at(rows, GOAL, lane)
            course = vector_at(rows, COURSE, lane)
            goal_speed = rows[GOAL_SPEED, lane]
            view = sight_of(own, goal, course, goal_speed)
            trim = vector_at(rows, TRIM, lane)
            command = guide(int(rows[KIND, lane]), trim, own, goal_speed, view, airframe, air)
            put_motion(rows, lane, integrate(own, command, airframe, air))

    return fly_lanes
