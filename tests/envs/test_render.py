"""Pictures of fights: what is in them, where it is, and that they need neither a display nor luck."""

import importlib.util
import itertools
import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from headctl_envs import dogfight_v0
from headctl_envs.dogfight.camera import Axes, Panel, Pixels, axes_of, frame, grid_step
from headctl_envs.dogfight.config import DogfightConfig
from headctl_envs.dogfight.render import DEAD, HEIGHT, HOT, SIDE, SIDES, TOP, WIDTH, Scene, in_zone
from headctl_envs.dogfight.snapshots import Body, Craft, Snapshot
from headctl_envs.dogfight.window import one_line
from PIL import Image, ImageDraw

LEVEL_NORTH = (0.0, 0.0, 0.0, 1.0)
LEVEL_EAST = (0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4))
CONFIG = DogfightConfig()


def craft(agent, position, **changes):
    told = Craft(agent, int(agent.startswith("blue")), True, position, LEVEL_NORTH, 200.0, 1.0, 0.77, 1.0, 510.0)
    return told._replace(**changes)


def scene_of(*crafts, config=CONFIG, **changes):
    scene = Scene(config)
    scene.begin(Snapshot(0, 0.0, crafts, **changes))
    return scene


RED = craft("red_0", (0.0, 0.0, -4000.0))
BLUE = craft("blue_0", (1000.0, 500.0, -5000.0))


def near(picture, colour, tolerance=12):
    """Pixels of about this colour, bool [H, W]."""
    return (np.abs(picture.astype(int) - np.array(colour)) <= tolerance).all(-1)


def centre(found, pixels):
    """Middle of the pixels that were found in a rectangle of the picture."""
    left, top, width, height = pixels
    rows, columns = np.nonzero(found[top : top + height, left : left + width])
    assert len(rows), "nothing of that colour"
    return columns.mean() + left, rows.mean() + top


def test_both_aircraft_are_where_they_are_in_both_views():
    picture = scene_of(RED, BLUE).picture()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    (red_x, red_y), (blue_x, blue_y) = (centre(near(picture, colour), TOP) for colour in SIDES)
    assert blue_x - red_x == pytest.approx((red_y - blue_y) / 2, rel=0.2)  # 500 m east, 1000 m north
    (side_red_x, side_red_y), (side_blue_x, side_blue_y) = (centre(near(picture, colour), SIDE) for colour in SIDES)
    assert side_blue_y < side_red_y - 20  # blue is higher
    assert side_blue_x - side_red_x == pytest.approx(blue_x - red_x, abs=8)  # one east axis


def test_a_turned_aircraft_looks_turned():
    def extent(attitude):
        picture = scene_of(RED._replace(attitude=attitude, rounds=0.0), BLUE).picture()
        left, top, width, height = TOP
        rows, columns = np.nonzero(near(picture, SIDES[0])[top : top + height, left : left + width])
        inner = np.abs(rows - np.median(rows)) < 25
        return np.ptp(rows[inner]), np.ptp(columns[inner & (np.abs(columns - np.median(columns)) < 25)])

    tall, narrow = extent(LEVEL_NORTH)
    low, wide = extent(LEVEL_EAST)
    assert tall > narrow
    assert wide > low


def test_health_the_dead_and_the_winner_are_shown():
    hurt = scene_of(RED, BLUE._replace(health=0.5)).picture()
    whole = scene_of(RED, BLUE).picture()
    dead = scene_of(RED, BLUE._replace(health=0.0, alive=False), outcome="red", cause="kill").picture()
    assert not np.array_equal(hurt, whole)
    assert near(dead, DEAD, 3).sum() > near(whole, DEAD, 3).sum() + 200  # the bar of the card and the names
    header = slice(0, 40), slice(WIDTH - 200, WIDTH)
    assert near(dead[header], SIDES[0], 40).sum() > 20
    assert near(whole[header], SIDES[0], 40).sum() == 0


def test_a_wreck_stays_where_it_fell():
    down = BLUE._replace(health=0.0, alive=False)
    scene, moved = scene_of(RED, BLUE), scene_of(RED, BLUE)
    for each, position in ((scene, down.position), (moved, (-3000.0, 0.0, -4000.0))):
        each.add(Snapshot(0, 0.2, (RED, down)))
        each.add(Snapshot(0, 0.4, (RED, down._replace(position=position))))
    assert np.array_equal(scene.picture()[TOP.top :], moved.picture()[TOP.top :])  # the header tells the range


def test_the_gun_zone_lights_up_with_an_enemy_in_it():
    target = craft("blue_0", (500.0, 0.0, -4000.0))
    beside = craft("blue_0", (500.0, 300.0, -4000.0))
    friend = craft("red_1", (500.0, 0.0, -4000.0))
    assert in_zone(RED, target, CONFIG)
    assert not in_zone(RED, beside, CONFIG)
    assert not in_zone(RED, friend, CONFIG)
    assert not in_zone(RED, target._replace(alive=False), CONFIG)
    assert not in_zone(RED, craft("blue_0", (1000.0, 0.0, -4000.0)), CONFIG)
    counts = [
        near(scene_of(RED, other).picture()[TOP.top : TOP.top + TOP.height], HOT, 70).sum()
        for other in (target, beside)
    ]
    assert counts[0] > counts[1] + 50


def test_the_picture_depends_on_the_game_and_not_on_how_often_one_looks():
    def watched(always):
        env = dogfight_v0.parallel_env(render_mode="rgb_array", start="neutral")
        env.reset(seed=2)
        for _ in range(20):
            env.step({})
            if always:
                env.render()
        return env.render()

    often, once = watched(always=True), watched(always=False)
    assert np.array_equal(often, once)
    once[:] = 0  # belongs to the caller
    assert np.array_equal(often, watched(always=False))


def test_eight_aircraft_with_missiles_and_captions_find_room():
    crafts = [
        craft(f"{side}_{k}", (400.0 * k, -900.0 * (side == "red"), -4000.0))
        for side in ("red", "blue")
        for k in range(4)
    ]
    bodies = (
        Body("m", "missile", 0, "red_0", (100.0, 0.0, -4000.0), LEVEL_NORTH),
        Body("f", "flare", 1, "blue_0", (0.0, 50.0, -4000.0), None),
    )
    scene = scene_of(*crafts)
    scene.add(Snapshot(0, 0.2, tuple(crafts), bodies), {"red_2": ["maneuver:  notch", "      entropy 1.00 nats"]})
    picture = scene.picture()
    for colour in SIDES:
        assert near(picture, colour).sum() > 400


def test_names_of_aircraft_side_by_side_do_not_cover_each_other():
    # Four aircraft on one line of sight of the side view, and a few metres apart in the top view.
    crafts = [
        craft(f"{side}_{k}", (120.0 * k, 30.0 * k - 60.0 * (side == "red"), -4000.0))
        for side in ("red", "blue")
        for k in range(2)
    ]
    crafts.append(craft("red_2", (3000.0, 0.0, -4000.0)))
    written = []

    class Pen(ImageDraw.ImageDraw):
        def text(self, xy, text, *args, font=None, anchor=None, **kwargs):
            if "_" in text and anchor is not None:
                written.append((text, self.textbbox(xy, text, font=font, anchor=anchor)))

    scene = scene_of(*crafts)
    panels = frame([Snapshot(0, 0.0, tuple(crafts))], TOP, SIDE, 300.0)
    for panel in panels:
        written.clear()
        scene._write_names(Pen(Image.new("RGB", (1000, 720))), (panel,))
        assert len(written) == len(crafts)
        for (_, one), (_, two) in itertools.combinations(written, 2):
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1], written


def test_everything_that_lives_is_inside_of_the_panels():
    rng = np.random.default_rng(0)
    for _ in range(200):
        crafts = tuple(
            craft(agent, (*rng.uniform(-20000, 20000, 2).tolist(), -float(rng.uniform(300, 12000))))
            for agent in ("red_0", "red_1", "blue_0", "blue_1")
        )
        panels = frame([Snapshot(0, 0.0, crafts)], TOP, SIDE, 300.0)
        assert panels[0].scale == panels[1].scale
        for panel in panels:
            for each in crafts:
                assert panel.sees(*panel.at(axes_of(each.position)))
            assert grid_step(panel, 70) * panel.scale >= 30


def test_a_panel_maps_metres_to_pixels():
    panel = Panel(Pixels(10, 20, 100, 50), 2, (1000.0, 3000.0), 0.1)
    assert panel.at(Axes(1000.0, 99.0, 3000.0)) == (60.0, 45.0)
    assert panel.at(Axes(1100.0, 99.0, 3050.0)) == (70.0, 40.0)
    assert panel.span(0) == (500.0, 1500.0)
    assert panel.span(1) == (2750.0, 3250.0)


def test_one_line():
    ended = Snapshot(0, 12.34, (RED, BLUE._replace(health=0.0, alive=False)), (), "red", "kill")
    assert one_line(ended) == (
        "t  12.3 s | red_0:  4.00 km  200 m/s +1.0 g health 1.00 | blue_0:  5.00 km  200 m/s +1.0 g health 0.00"
        " | range   1500 m | red: kill"
    )
    assert "range" not in one_line(ended._replace(craft=(RED, BLUE, RED)))


# In the environment ---------------------------------------------------------------------------------------------------


def test_the_end_of_an_episode_is_seen():
    env = dogfight_v0.parallel_env(render_mode="ansi", max_cycles=2)
    env.reset(seed=0)
    env.step({})
    assert "draw" not in env.render()
    env.step({})
    assert env.render().startswith("t   0.4 s")
    assert env.render().endswith("draw: time")


@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_rendering_before_reset_is_told(mode):
    with pytest.raises(RuntimeError, match=r"render\(\) before reset\(\)"):
        dogfight_v0.parallel_env(render_mode=mode).render()


def test_no_mode_no_picture_but_a_warning():
    env = dogfight_v0.parallel_env()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_arguments_of_render_are_ignored():
    env = dogfight_v0.parallel_env(render_mode="rgb_array")
    env.reset(seed=0)
    assert np.array_equal(env.render("rgb_array"), env.render())


def test_a_window_needs_pygame_and_says_how_to_get_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pygame" else find(name, *rest)
    )
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"pip install 'headctl\[render\]'"):
        dogfight_v0.parallel_env(render_mode="human")


def test_a_window_shows_every_step_and_stays_closed(monkeypatch):
    pygame = pytest.importorskip("pygame", reason="pygame is not installed")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = dogfight_v0.parallel_env(render_mode="human", decision_period_s=0.02)
    env.reset(seed=0)
    shown = pygame.surfarray.array3d(pygame.display.get_surface())
    assert shown.shape == (WIDTH, HEIGHT, 3)
    env.step({})
    assert not np.array_equal(pygame.surfarray.array3d(pygame.display.get_surface()), shown)
    assert env.render() is None
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    env.step({})
    assert pygame.display.get_surface() is None
    env.step({})
    assert pygame.display.get_surface() is None
    env.close()
    env.close()


def test_pictures_need_no_display_and_neither_matplotlib_nor_pygame():
    code = """if True:
        import sys
        from headctl_envs import dogfight_v0
        env = dogfight_v0.parallel_env(render_mode="rgb_array")
        env.reset(seed=0)
        env.render()
        assert not {"matplotlib", "pygame", "tkinter"} & set(sys.modules)
    """
    quiet = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    subprocess.run([sys.executable, "-c", code], check=True, env=quiet)
