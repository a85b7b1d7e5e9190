"""How the PettingZoo face shows itself: a line of text, a picture, or a window on the screen."""

import importlib
import importlib.util
import math
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.render import HEIGHT, WIDTH, Scene
from headctl_envs.dogfight.snapshots import Snapshot, snapshot


class Window:
    """Follows one episode, and shows it on the screen if ``render_mode`` is ``"human"``.

    Args:
        render_mode: ``"human"`` or ``"rgb_array"``.
        frames_per_s: Pictures per second on the screen: as many as decisions, so that a fight runs in its own time.

    Raises:
        gymnasium.error.DependencyNotInstalled: If the screen is wanted and pygame is not installed.
    """

    def __init__(self, render_mode: str | None, frames_per_s: float) -> None:
        self._on_screen = render_mode == "human"
        if self._on_screen and importlib.util.find_spec("pygame") is None:
            raise gymnasium.error.DependencyNotInstalled(
                "render_mode='human' needs pygame: pip install 'headctl[render]'"
            )
        self._frames_per_s = frames_per_s
        self._scene: Scene | None = None
        self._pygame: Any = None
        self._surface: Any = None
        self._clock: Any = None
        self._closed_by_user = False

    def begin(self, engine: DogfightEngine) -> None:
        """Begins an episode."""
        if self._scene is None:
            self._scene = Scene(engine.config)
        self._scene.begin(snapshot(engine))
        self._show()

    def add(self, engine: DogfightEngine) -> None:
        """Goes on to the next moment."""
        if self._scene is not None:
            self._scene.add(snapshot(engine))
            self._show()

    def picture(self) -> NDArray[np.uint8]:
        """Returns the last moment as uint8 [H, W, 3].

        Raises:
            RuntimeError: If no episode has begun.
        """
        if self._scene is None:
            raise RuntimeError("render() before reset(): call reset() once first")
        return self._scene.picture()

    def close(self) -> None:
        """Closes the window on the screen."""
        if self._pygame is not None:
            self._pygame.display.quit()
        self._pygame = self._surface = self._clock = None

    def _show(self) -> None:
        """Brings the last moment to the screen, no earlier than it is due; a window that was closed stays closed."""
        if not self._on_screen or self._closed_by_user:
            return
        if self._pygame is None:
            self._pygame = importlib.import_module("pygame")
            self._pygame.display.init()
            self._pygame.display.set_caption("dogfight")
            self._surface = self._pygame.display.set_mode((WIDTH, HEIGHT))
            self._clock = self._pygame.time.Clock()
        if any(event.type == self._pygame.QUIT for event in self._pygame.event.get()):
            self._closed_by_user = True
            self.close()
            return
        self._pygame.surfarray.blit_array(self._surface, self.picture().swapaxes(0, 1))
        self._pygame.display.flip()
        self._clock.tick(self._frames_per_s)


def one_line(now: Snapshot) -> str:
    """The game in one line of text."""
    sides = [
        f"{c.agent}: {c.altitude / 1000:5.2f} km {c.speed:4.0f} m/s {c.load_factor:+4.1f} g health {c.health:4.2f}"
        for c in now.craft
    ]
    line = " | ".join([f"t {now.time_s:5.1f} s", *sides])
    if len(now.craft) == 2:
        line += f" | range {math.dist(now.craft[0].position, now.craft[1].position):6.0f} m"
    return line if now.outcome == "running" else f"{line} | {now.outcome}: {now.cause}"
