"""Where the pictures of a fight look: two panels with one scale, and the flight paths that they have to show.

Panels look at the same east axis: the top view shows east and north, the side view below it east and altitude. Metres
in the world, pixels on the picture.
"""

from dataclasses import dataclass
from typing import NamedTuple

from headctl_envs.dogfight.snapshots import Snapshot, Vector

TRAIL_S = 25.0
"""Length of the flight paths that are drawn."""

LOOK_BACK_S = 8.0
"""What has been flown in this time stays in the picture."""

MARGIN_M = 300.0
MARGIN_PIXELS = 26
"""Both margins lie around what has to be seen, on every side."""

SPAN_MIN_M = 3000.0
"""The picture never shows less of the east axis."""

GRID_STEPS_M = (250.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0)


class Pixels(NamedTuple):
    """A rectangle on the picture."""

    left: int
    top: int
    width: int
    height: int


class Axes(NamedTuple):
    """East, north and altitude of a point in m."""

    east: float
    north: float
    altitude: float


def axes_of(position: Vector) -> Axes:
    """NED to (east, north, altitude)."""
    return Axes(position[1], position[0], -position[2])


@dataclass(frozen=True)
class Panel:
    """A map from a plane of the world to a rectangle of the picture.

    ``vertical`` is the axis that points up: 1 north, 2 altitude. ``centre`` is where the middle of the rectangle is.
    """

    pixels: Pixels
    vertical: int
    centre: tuple[float, float]
    scale: float

    def at(self, point: Axes) -> tuple[float, float]:
        """Where a point of the world is on the picture."""
        left, top, width, height = self.pixels
        x = left + 0.5 * width + (point.east - self.centre[0]) * self.scale
        return x, top + 0.5 * height - (point[self.vertical] - self.centre[1]) * self.scale

    def sees(self, x: float, y: float) -> bool:
        """Whether a point of the picture is on this panel."""
        left, top, width, height = self.pixels
        return left <= x <= left + width and top <= y <= top + height

    def span(self, axis: int) -> tuple[float, float]:
        """First and last value of an axis that is visible: 0 the horizontal one, 1 the vertical one."""
        half = 0.5 * (self.pixels.width if axis == 0 else self.pixels.height) / self.scale
        return self.centre[axis] - half, self.centre[axis] + half


def frame(history: list[Snapshot], top: Pixels, side: Pixels, floor_m: float) -> tuple[Panel, Panel]:
    """Places both panels so that every living aircraft and its recent path is in both.

    Args:
        history: The episode so far, not empty.
        top: Rectangle of the top view.
        side: Rectangle of the side view.
        floor_m: The hard deck; the side view does not show more than a little of what is below it.
    """
    now = history[-1]
    recent = [s for s in history if now.time_s - s.time_s <= LOOK_BACK_S]
    living = {c.agent for c in now.craft if c.alive} or {c.agent for c in now.craft}
    points = [axes_of(c.position) for s in recent for c in s.craft if c.agent in living]
    low = Axes(*(min(p[axis] for p in points) for axis in range(3)))
    high = Axes(*(max(p[axis] for p in points) for axis in range(3)))
    border = 2 * MARGIN_PIXELS
    scale = min(
        (top.width - border) / max(high.east - low.east + 2 * MARGIN_M, SPAN_MIN_M),
        (top.height - border) / (high.north - low.north + 2 * MARGIN_M),
        (side.height - border) / (high.altitude - low.altitude + 2 * MARGIN_M),
    )
    middle = Axes(*(0.5 * (a + b) for a, b in zip(low, high, strict=True)))
    altitude = max(middle.altitude, floor_m + (0.5 * side.height - MARGIN_PIXELS) / scale)
    return (
        Panel(top, 1, (middle.east, middle.north), scale),
        Panel(side, 2, (middle.east, altitude), scale),
    )


def grid_step(panel: Panel, spacing: float) -> float:
    """Distance in m between grid lines that are at least ``spacing`` pixels apart."""
    return next((step for step in GRID_STEPS_M if step * panel.scale >= spacing), GRID_STEPS_M[-1])
