"""A dogfight as an animated GIF, drawn by the environment's own pictures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from headctl_envs.dogfight import render
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.snapshots import Snapshot
from PIL import Image

SPEED = 2.0
"""The film runs this many times faster than the game."""

FRAMES_MAX = 300
"""A longer game leaves pictures out: nobody waits for a file of thousands."""

LAST_S = 3.0
"""How long the last picture stands."""

_SHADES = 12


class Film:
    """One episode, moment by moment.

    Args:
        config: Options of the game.
    """

    def __init__(self, config: DogfightConfig) -> None:
        self._config = config
        self._moments: list[tuple[Snapshot, Mapping[str, Sequence[str]]]] = []

    def add(self, now: Snapshot, captions: Mapping[str, Sequence[str]]) -> None:
        """Goes on to the next moment; captions are lines of text by agent."""
        self._moments.append((now, captions))

    def write(self, path: Path) -> None:
        """Draws the film.

        Raises:
            ValueError: If nothing was added.
        """
        if not self._moments:
            raise ValueError("a film needs at least one moment")
        every = math.ceil(len(self._moments) / FRAMES_MAX)
        pictures = self._pictures(every)
        first = next(pictures)
        # GIF counts in hundredths of a second.
        duration = max(20, 10 * round(100 * every * self._config.decision_period_s / SPEED))
        count = len(range(0, len(self._moments) - 1, every)) + 1
        durations = [duration] * (count - 1) + [round(1000 * LAST_S)]
        first.save(path, save_all=True, append_images=pictures, duration=durations, loop=0, optimize=False, disposal=1)

    def _pictures(self, every: int) -> Iterator[Image.Image]:
        """Every so many moments and the last one, in the colours of one palette."""
        palette = _palette()
        scene = render.Scene(self._config)
        last = len(self._moments) - 1
        for index, (now, captions) in enumerate(self._moments):
            scene.add(now, captions)
            if index == last or (index % every == 0 and index < last):
                picture = Image.fromarray(scene.picture())
                yield picture.quantize(palette=palette, dither=Image.Dither.NONE)


def _palette() -> Image.Image:
    """The colours that the pictures use, and shades between them: one palette keeps the file small."""
    white = (255, 255, 255)
    base = (render.GROUND, render.GRID, render.TEXT, render.FAINT, render.DEAD, render.HOT, render.GOOD, *render.SIDES)
    shades = [render.mix(render.SKY, colour, k / _SHADES) for colour in base for k in range(1, _SHADES + 1)]
    lights = [render.mix(colour, white, k / 10) for colour in render.SIDES for k in range(1, 7)]
    darks = [render.mix(colour, render.BACKGROUND, k / 10) for colour in render.SIDES for k in range(1, 9)]
    colours = [render.BACKGROUND, render.SKY, *shades, *lights, *darks]
    image = Image.new("P", (1, 1))
    image.putpalette(list(chain.from_iterable(colours[:256])))
    return image
