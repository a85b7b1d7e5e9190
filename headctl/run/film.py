"""A dogfight as an animated GIF or as MP4, drawn by the environment's own pictures."""

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np
from headctl_envs.dogfight import render
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.snapshots import Snapshot
from numpy.typing import NDArray
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
        """Draws the film as an animated GIF.

        Raises:
            ValueError: If nothing was added.
        """
        every, count = self._pace()
        palette = _palette()
        pictures = (
            Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
            for picture in self._pictures(every)
        )
        first = next(pictures)
        # GIF counts in hundredths of a second.
        duration = max(20, 10 * round(100 * every * self._config.decision_period_s / SPEED))
        durations = [duration] * (count - 1) + [round(1000 * LAST_S)]
        first.save(path, save_all=True, append_images=pictures, duration=durations, loop=0, optimize=False, disposal=1)

    def write_video(self, path: Path) -> None:
        """Draws the film as MP4 (H.264), which takes less room and keeps all colours.

        Raises:
            ImportError: The encoder is not installed.
            ValueError: If nothing was added.
        """
        encoder = video_encoder()
        every, _ = self._pace()
        frames_per_s = SPEED / (every * self._config.decision_period_s)
        pictures = self._pictures(every)
        picture = next(pictures)
        height, width = picture.shape[:2]
        # Bit-exact: without the time and the version of the encoder one game gives one file.
        stream = encoder.write_frames(
            str(path), (width, height), fps=frames_per_s, quality=7, macro_block_size=2,
            output_params=["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1"],
        )  # fmt: skip
        stream.send(None)
        try:
            stream.send(np.ascontiguousarray(picture))
            for picture in pictures:
                stream.send(np.ascontiguousarray(picture))
            for _ in range(round(LAST_S * frames_per_s) - 1):
                stream.send(np.ascontiguousarray(picture))
        finally:
            stream.close()

    def _pace(self) -> tuple[int, int]:
        """Returns which moments are drawn, every first, second, third ..., and how many pictures that makes.

        Raises:
            ValueError: If nothing was added.
        """
        if not self._moments:
            raise ValueError("a film needs at least one moment")
        every = math.ceil(len(self._moments) / FRAMES_MAX)
        return every, len(range(0, len(self._moments) - 1, every)) + 1

    def _pictures(self, every: int) -> Iterator[NDArray[np.uint8]]:
        """Every so many moments and the last one, uint8 ``[720, 1000, 3]``."""
        scene = render.Scene(self._config)
        last = len(self._moments) - 1
        for index, (now, captions) in enumerate(self._moments):
            scene.add(now, captions)
            if index == last or (index % every == 0 and index < last):
                yield scene.picture()


def video_encoder() -> ModuleType:
    """Returns the library that writes MP4.

    Raises:
        ImportError: It is not installed, or brings no ffmpeg for this system.
    """
    imageio_ffmpeg = importlib.import_module("imageio_ffmpeg")
    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ImportError(str(error)) from error
    return imageio_ffmpeg


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
