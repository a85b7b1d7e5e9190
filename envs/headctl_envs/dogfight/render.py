"""The picture of a fight: top and side view with flight paths, gun zones and health, and a card per aircraft.

Drawn with Pillow, without a display and without global state. Lines are drawn at twice the size and reduced, text at
its own size. What is drawn depends on the snapshots alone, not on how often somebody looks.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from headctl_envs.dogfight.camera import TRAIL_S, Axes, Panel, Pixels, axes_of, frame, grid_step
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.snapshots import Craft, FlareTrails, Snapshot, rotated

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""

WIDTH, HEIGHT = 1000, 720
TOP = Pixels(12, 44, 676, 436)
SIDE = Pixels(12, 492, 676, 216)
CARDS = Pixels(700, 44, 288, 664)
FINE = 2
"""Lines are drawn this many times larger, then reduced."""

BACKGROUND: Colour = (13, 19, 31)
SKY: Colour = (20, 29, 46)
GROUND: Colour = (52, 42, 34)
GRID: Colour = (38, 51, 75)
TEXT: Colour = (222, 230, 242)
FAINT: Colour = (126, 142, 168)
DEAD: Colour = (104, 112, 126)
HOT: Colour = (255, 214, 84)
GOOD: Colour = (86, 204, 128)
SIDES: tuple[Colour, Colour] = ((255, 92, 92), (88, 166, 255))

NAME_RISES = (8, -22, 24, -38, 40, -54)
"""Where a name may stand below its aircraft, in pixels, the best place first."""
GLYPH = 17.0
"""Half the length of an aircraft in pixels."""

# Outlines in the wind frame: x forward, y to the right, z down; half an aircraft is one unit long.
_HALF_PLANFORM = (
    (1.0, 0.0), (0.5, 0.1), (0.1, 0.16), (-0.38, 0.74), (-0.58, 0.74), (-0.5, 0.2), (-0.78, 0.4), (-0.95, 0.4),
    (-0.88, 0.08),
)  # fmt: skip
PLANFORM = tuple((x, y, 0.0) for x, y in _HALF_PLANFORM) + tuple((x, -y, 0.0) for x, y in reversed(_HALF_PLANFORM[1:]))
FIN = ((-0.25, 0.0, 0.0), (-0.8, 0.0, -0.5), (-1.0, 0.0, -0.5), (-0.88, 0.0, 0.0))


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """``share`` of ``other`` in ``colour``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


class Scene:
    """One episode as it is seen from outside.

    Args:
        config: Options of the game: the gun's zone and the floor are drawn.
    """

    def __init__(self, config: DogfightConfig) -> None:
        self._config = config
        self._history: list[Snapshot] = []
        self._flares = FlareTrails()
        self._captions: dict[str, Sequence[str]] = {}
        self._fonts = {size: ImageFont.load_default(size) for size in (11, 12, 14, 19)}

    def begin(self, first: Snapshot) -> None:
        """Forgets the last episode."""
        self._flares = FlareTrails()
        self._history = [self._flares.add(first)]
        self._captions = {}

    def add(self, now: Snapshot, captions: Mapping[str, Sequence[str]] | None = None) -> None:
        """Goes on to the next moment.

        Args:
            now: The game now.
            captions: Lines of text for the cards, by agent, for example what was decided.
        """
        self._history.append(self._flares.add(now))
        self._captions = dict(captions or {})

    def picture(self) -> NDArray[np.uint8]:
        """Draws the last moment.

        Returns:
            uint8 [720, 1000, 3].

        Raises:
            RuntimeError: If nothing has begun.
        """
        if not self._history:
            raise RuntimeError("picture() before begin(): there is nothing to draw yet")
        top, side = frame(self._history, TOP, SIDE, self._config.floor_m)
        image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), BACKGROUND)
        pen = ImageDraw.Draw(image)
        for panel in (side, top):
            layer = Image.new("RGB", (panel.pixels.width * FINE, panel.pixels.height * FINE), SKY)
            self._draw_panel(ImageDraw.Draw(layer), _enlarged(panel))
            image.paste(layer, (panel.pixels.left * FINE, panel.pixels.top * FINE))
        self._draw_bars(pen)
        image = image.reduce(FINE)
        write = ImageDraw.Draw(image)
        self._write_scales(write, top, side)
        self._write_names(write, (top, side))
        self._write_header(write)
        self._write_cards(write)
        return np.asarray(image).copy()

    def _shown(self) -> list[Craft]:
        """All aircraft now; those that are down as they were when it happened."""
        shown = []
        for seat, craft in enumerate(self._history[-1].craft):
            for moment in reversed(self._history):
                if moment.craft[seat].alive:
                    break
                craft = moment.craft[seat]  # noqa: PLW2901  - further and further back
            shown.append(craft)
        return shown

    # Lines ----------------------------------------------------------------------------------------------------------

    def _draw_panel(self, pen: ImageDraw.ImageDraw, panel: Panel) -> None:
        width, height = panel.pixels.width, panel.pixels.height
        if panel.vertical == 2:
            deck = panel.at(Axes(0.0, 0.0, self._config.floor_m))[1]
            if deck < height:
                pen.rectangle((0, deck, width, height), fill=GROUND)
        step = grid_step(panel, 70 * FINE)
        for axis in (0, 1):
            low, high = panel.span(axis)
            for k in range(math.ceil(low / step), math.floor(high / step) + 1):
                point = Axes(k * step, k * step, k * step)
                x, y = panel.at(point)
                pen.line((x, 0, x, height) if axis == 0 else (0, y, width, y), fill=GRID, width=FINE)
        now = self._history[-1]
        for seat, craft in enumerate(now.craft):
            self._draw_trail(pen, panel, seat)
            if craft.alive:
                self._draw_gun(pen, panel, seat)
        for body in now.bodies:
            self._draw_body(pen, panel, axes_of(body.position), body.kind, SIDES[body.side])
        for craft in self._shown():
            (_draw_craft if craft.alive else _draw_wreck)(pen, panel, craft)

    def _draw_trail(self, pen: ImageDraw.ImageDraw, panel: Panel, seat: int) -> None:
        """The path of one aircraft; it fades with age, and ends where the aircraft did."""
        now = self._history[-1].time_s
        colour = SIDES[self._history[-1].craft[seat].side]
        steps = [s for s in self._history if now - s.time_s <= TRAIL_S]
        places = [(s.time_s, panel.at(axes_of(s.craft[seat].position)), s.craft[seat].alive) for s in steps]
        for (time_s, start, alive), (_, end, _) in itertools.pairwise(places):
            if alive:
                fade = ((now - time_s) / TRAIL_S) ** 0.8
                pen.line((*start, *end), fill=mix(colour, SKY, 0.15 + 0.83 * fade), width=2 * FINE)

    def _draw_gun(self, pen: ImageDraw.ImageDraw, panel: Panel, seat: int) -> None:
        """The gun zone of one aircraft: bright with an enemy in it, with a tracer when it fires."""
        now = self._history[-1]
        craft, config = now.craft[seat], self._config
        near, far = config.gun_range_min_m, config.gun_range_max_m
        start, end = (panel.at(_ahead(craft, distance)) for distance in (near, far))
        length = math.dist(start, end)
        if length < 1.0:
            return
        across = ((start[1] - end[1]) / length, (end[0] - start[0]) / length)
        hot = any(in_zone(craft, other, config) for other in now.craft)
        edges = []
        for (x, y), distance in ((start, near), (end, far)):
            reach = math.tan(math.radians(min(config.gun_half_angle_deg, 80.0))) * distance * panel.scale
            half = max(reach, (1.0 if distance == near else 3.5) * FINE)
            edges.append(((x + across[0] * half, y + across[1] * half), (x - across[0] * half, y - across[1] * half)))
        outline = [edges[0][0], edges[1][0], edges[1][1], edges[0][1]]
        pen.polygon(outline, fill=mix(SKY, HOT if hot else SIDES[craft.side], 0.75 if hot else 0.3))
        if self._fires(seat):
            pen.line((*panel.at(axes_of(craft.position)), *end), fill=HOT, width=2 * FINE)

    def _fires(self, seat: int) -> bool:
        return len(self._history) > 1 and self._history[-1].craft[seat].rounds < self._history[-2].craft[seat].rounds

    def _draw_body(self, pen: ImageDraw.ImageDraw, panel: Panel, point: Axes, kind: str, colour: Colour) -> None:
        x, y = panel.at(point)
        size = (4 if kind == "missile" else 2.5) * FINE
        pen.ellipse((x - size, y - size, x + size, y + size), fill=TEXT if kind == "missile" else HOT, outline=colour)

    def _draw_bars(self, pen: ImageDraw.ImageDraw) -> None:
        """Frames of the cards, and the bars of health and rounds."""
        first = self._history[0]
        for seat, (craft, card) in enumerate(zip(self._history[-1].craft, self._cards(), strict=True)):
            left, top, width, height = (FINE * number for number in card)
            colour = SIDES[craft.side] if craft.alive else DEAD
            pen.rounded_rectangle((left, top, left + width, top + height), 7 * FINE, fill=SKY)
            pen.rounded_rectangle((left, top, left + 5 * FINE, top + height), 2 * FINE, fill=colour)
            full = first.craft[seat].rounds
            health = mix(SIDES[0], GOOD, craft.health)
            for row, (share, fill) in enumerate(
                ((craft.health, health), (craft.rounds / full if full else 0.0, mix(HOT, SKY, 0.25)))
            ):
                y = top + (31 + 13 * row) * FINE
                x, long = left + 72 * FINE, width - 86 * FINE
                pen.rounded_rectangle((x, y, x + long, y + 7 * FINE), 3 * FINE, fill=GRID)
                if share > 0.01:
                    pen.rounded_rectangle((x, y, x + max(long * share, 7 * FINE), y + 7 * FINE), 3 * FINE, fill=fill)

    # Text -----------------------------------------------------------------------------------------------------------

    def _cards(self) -> list[Pixels]:
        seats = len(self._history[-1].craft)
        lines = max((len(text) for text in self._captions.values()), default=0)
        height = min((CARDS.height - 8 * (seats - 1)) // seats, 86 + 18 * lines)
        return [Pixels(CARDS.left, CARDS.top + (height + 8) * k, CARDS.width, height) for k in range(seats)]

    def _write_scales(self, write: ImageDraw.ImageDraw, top: Panel, side: Panel) -> None:
        small = self._fonts[11]
        for panel, title in ((top, "top view, north up"), (side, "side view from the south")):
            left, upper, width, _ = panel.pixels
            write.text((left + 8, upper + 6), title, FAINT, font=small)
            step = grid_step(panel, 70)
            if panel.vertical == 2:
                low, high = panel.span(1)
                for k in range(math.ceil(low / step), math.floor(high / step) + 1):
                    y = panel.at(Axes(0.0, 0.0, k * step))[1]
                    if k >= 0 and upper + 24 < y < upper + panel.pixels.height - 8:
                        write.text((left + width - 6, y), f"{k * step / 1000:g} km", FAINT, font=small, anchor="rm")
                deck = panel.at(Axes(0.0, 0.0, self._config.floor_m))[1]
                if deck + 14 < upper + panel.pixels.height:
                    label = f"hard deck {self._config.floor_m:.0f} m"
                    write.text((left + 8, deck + 2), label, FAINT, font=small)
            else:
                bottom = upper + panel.pixels.height - 12
                write.line((left + 12, bottom, left + 12 + step * panel.scale, bottom), fill=TEXT, width=2)
                write.text((left + 12, bottom - 4), f"{step / 1000:g} km", TEXT, font=small, anchor="ls")

    def _write_names(self, write: ImageDraw.ImageDraw, panels: Sequence[Panel]) -> None:
        for panel in panels:
            taken: list[Box] = []
            places = [panel.at(axes_of(craft.position)) for craft in self._shown()]
            crafts = [(x - GLYPH / 2, y - GLYPH / 2, x + GLYPH / 2, y + GLYPH / 2) for x, y in places]
            for craft in self._shown():
                x, y = panel.at(axes_of(craft.position))
                if panel.sees(x, y):
                    colour = SIDES[craft.side] if craft.alive else DEAD
                    place, anchor, box = self._room(write, panel, craft.agent, (x, y), (taken, crafts))
                    taken.append(box)
                    write.text(
                        place, craft.agent, colour, font=self._fonts[12], anchor=anchor, stroke_width=1, stroke_fill=SKY
                    )

    def _room(
        self,
        write: ImageDraw.ImageDraw,
        panel: Panel,
        text: str,
        at: tuple[float, float],
        taken: tuple[Sequence[Box], Sequence[Box]],
    ) -> tuple[tuple[float, float], str, Box]:
        """Place, anchor and box of a name beside its aircraft: the first one in the panel that covers nothing.

        ``taken`` are the boxes of other names, and those of aircraft, which a name rather covers than another name.
        """
        found = []
        for rise in NAME_RISES:
            for side, anchor in ((14, "la"), (-14, "ra")):
                place = (at[0] + side, at[1] + rise)
                box = write.textbbox(place, text, font=self._fonts[12], anchor=anchor)
                inside = panel.sees(box[0], box[1]) and panel.sees(box[2], box[3])
                covered = [sum(_overlap(box, other) for other in others) for others in taken]
                found.append(((not inside, *covered), place, anchor, box))
        _, place, anchor, box = min(found, key=lambda item: item[0])
        return place, anchor, box

    def _write_header(self, write: ImageDraw.ImageDraw) -> None:
        now = self._history[-1]
        write.text((16, 23), f"{now.time_s:6.1f} s".strip(), TEXT, font=self._fonts[19], anchor="lm")
        write.text((120, 24), "   ".join(_summary(now)), FAINT, font=self._fonts[14], anchor="lm")
        if now.outcome != "running":
            side = {"red": 0, "blue": 1}.get(now.outcome)
            title = "draw" if side is None else f"{now.outcome} wins"
            colour = TEXT if side is None else SIDES[side]
            write.text((WIDTH - 16, 23), f"{title}: {now.cause}", colour, font=self._fonts[19], anchor="rm")

    def _write_cards(self, write: ImageDraw.ImageDraw) -> None:
        for craft, card in zip(self._shown(), self._cards(), strict=True):
            x, y = card.left + 16, card.top
            colour = SIDES[craft.side] if craft.alive else DEAD
            write.text((x, y + 7), craft.agent, colour, font=self._fonts[14])
            label = f"{100 * craft.health:.0f} %" if craft.alive else "down"
            write.text((card.left + card.width - 14, y + 7), label, TEXT, font=self._fonts[14], anchor="ra")
            if self._config.armed and craft.alive:
                stores = f"missiles {craft.missiles:.0f}   flares {craft.flares:.0f}"
                write.text((card.left + card.width - 62, y + 9), stores, FAINT, font=self._fonts[11], anchor="ra")
            write.text((x, y + 28), "health", FAINT, font=self._fonts[11])
            write.text((x, y + 41), "rounds", FAINT, font=self._fonts[11])
            figures = (
                f"{craft.speed:.0f} m/s   M {craft.mach:.2f}   {craft.load_factor:+.1f} g   {craft.altitude:.0f} m"
            )
            lines = [(figures, TEXT), *((line, FAINT) for line in self._captions.get(craft.agent, ()))]
            room = (card.height - 58) // 18
            for row, (line, shade) in enumerate(lines[:room]):
                write.text((x, y + 59 + 18 * row), line, shade, font=self._fonts[12])


def in_zone(craft: Craft, other: Craft, config: DogfightConfig) -> bool:
    """Whether a living enemy is in the gun zone of an aircraft."""
    if other.side == craft.side or not other.alive or not craft.alive:
        return False
    offset = tuple(b - a for a, b in zip(craft.position, other.position, strict=True))
    distance = math.hypot(*offset)
    if not config.gun_range_min_m <= distance <= config.gun_range_max_m:
        return False
    ahead = sum(a * b for a, b in zip(rotated(craft.attitude, (1.0, 0.0, 0.0)), offset, strict=True)) / distance
    return math.degrees(math.acos(min(max(ahead, -1.0), 1.0))) <= config.gun_half_angle_deg


def _summary(now: Snapshot) -> list[str]:
    """What the header says about the fight as a whole."""
    if len(now.craft) != 2:
        counts = [sum(c.alive and c.side == side for c in now.craft) for side in (0, 1)]
        return [f"red {counts[0]}", f"blue {counts[1]}", "flying"]
    one, two = now.craft
    offset = [b - a for a, b in zip(one.position, two.position, strict=True)]
    distance = max(math.hypot(*offset), 1.0)
    velocities = [[c.speed * v for v in rotated(c.attitude, (1.0, 0.0, 0.0))] for c in now.craft]
    closure = sum((a - b) * r for a, b, r in zip(*velocities, offset, strict=True)) / distance
    return [f"range {distance:.0f} m", f"closure {closure:+.0f} m/s"]


def _overlap(one: Box, two: Box) -> bool:
    """Whether two boxes share a point."""
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _ahead(craft: Craft, distance: float) -> Axes:
    forward = rotated(craft.attitude, (distance, 0.0, 0.0))
    north, east, down = (p + f for p, f in zip(craft.position, forward, strict=True))
    return Axes(east, north, -down)


def _enlarged(panel: Panel) -> Panel:
    """The panel as it is on a layer of its own, ``FINE`` times larger."""
    size = Pixels(0, 0, panel.pixels.width * FINE, panel.pixels.height * FINE)
    return Panel(size, panel.vertical, panel.centre, panel.scale * FINE)


def _draw_craft(pen: ImageDraw.ImageDraw, panel: Panel, craft: Craft) -> None:
    """An aircraft in its attitude: wing and fin, darker where one sees the belly."""
    x, y = panel.at(axes_of(craft.position))
    colour = SIDES[craft.side]

    def outline(points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
        placed = []
        for point in points:
            offset = axes_of(rotated(craft.attitude, point))
            placed.append((x + offset.east * GLYPH * FINE, y - offset[panel.vertical] * GLYPH * FINE))
        return placed

    down = rotated(craft.attitude, (0.0, 0.0, 1.0))
    # The top view looks down, the side view looks north: the upper side is seen where "up" points to the viewer.
    upper = down[2] > 0.0 if panel.vertical == 1 else down[0] > 0.0
    fin = (outline(FIN), mix(colour, (255, 255, 255), 0.45))
    wing = (outline(PLANFORM), colour if upper else mix(colour, BACKGROUND, 0.4))
    for points, fill in (wing, fin) if upper else (fin, wing):
        pen.polygon(points, fill=fill)
        pen.line([*points, points[0]], fill=mix(fill, (255, 255, 255), 0.35), width=FINE)


def _draw_wreck(pen: ImageDraw.ImageDraw, panel: Panel, craft: Craft) -> None:
    x, y = panel.at(axes_of(craft.position))
    for k in range(8):
        angle = math.tau * k / 8
        reach = (13 if k % 2 == 0 else 8) * FINE
        pen.line((x, y, x + reach * math.cos(angle), y + reach * math.sin(angle)), fill=HOT, width=2 * FINE)
    size = 4 * FINE
    pen.ellipse((x - size, y - size, x + size, y + size), fill=SIDES[craft.side])
