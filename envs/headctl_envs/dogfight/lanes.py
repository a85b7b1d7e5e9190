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

import torch
import warp as wp

from headctl_envs.dogfight.flight import Airframe, Motion, air_at, integrate
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


def lanes_on(device: torch.device) -> int:
    """Returns how many games a thread of the step's kernel plays."""
    return ON_CPU if device.type == "cpu" else ON_CUDA


SELF = wp.constant(0)
MOTION_ROWS = wp.constant(11)
OTHER = wp.constant(11)
"""First rows of the motions of two aircraft: position, attitude, speed, load factor, roll rate, lever."""

GOAL = wp.constant(11)
COURSE = wp.constant(14)
GOAL_SPEED = wp.constant(17)
KIND = wp.constant(18)
TRIM = wp.constant(19)
FLIGHT_ROWS = 22
"""R of a flight: a motion, where what it flies for is and goes, the maneuver, its residuals."""


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
def put_motion(rows: wp.array2d[wp.float32], row: int, lane: int, motion: Motion) -> None:
    """Writes a motion into the rows from ``row`` on."""
    put(rows, row, lane, motion.position)
    rows[row + 3, lane] = motion.attitude[0]
    rows[row + 4, lane] = motion.attitude[1]
    rows[row + 5, lane] = motion.attitude[2]
    rows[row + 6, lane] = motion.attitude[3]
    rows[row + 7, lane] = motion.speed
    rows[row + 8, lane] = motion.load_factor
    rows[row + 9, lane] = motion.roll_rate
    rows[row + 10, lane] = motion.lever


@wp.func(inline=True)
def motion_at(rows: wp.array2d[wp.float32], row: int, lane: int) -> Motion:
    """The motion in the rows from ``row`` on."""
    motion = Motion()
    motion.position = vector_at(rows, row, lane)
    motion.attitude = wp.quat(rows[row + 3, lane], rows[row + 4, lane], rows[row + 5, lane], rows[row + 6, lane])
    motion.speed = rows[row + 7, lane]
    motion.load_factor = rows[row + 8, lane]
    motion.roll_rate = rows[row + 9, lane]
    motion.lever = rows[row + 10, lane]
    return motion


def flight_of(lanes: int) -> Any:
    """Returns the Warp function that flies so many aircraft of one type for a substep, in place."""

    @wp.func(inline=True)
    def fly_lanes(rows: wp.array2d[wp.float32], airframe: Airframe) -> None:
        for lane in range(lanes):
            own = motion_at(rows, SELF, lane)
            air = air_at(-own.position[2])
            goal = vector_at(rows, GOAL, lane)
            course = vector_at(rows, COURSE, lane)
            goal_speed = rows[GOAL_SPEED, lane]
            view = sight_of(own, goal, course, goal_speed)
            trim = vector_at(rows, TRIM, lane)
            command = guide(int(rows[KIND, lane]), trim, own, goal_speed, view, airframe, air)
            put_motion(rows, SELF, lane, integrate(own, command, airframe, air))

    return fly_lanes
