"""How often a missile hits, by range, aspect and what its target does: single shots without flares.

The range is a share of the reach, the largest range at which the fire control would launch. The aspect is the angle
between the target's velocity and the line of sight: 0 from dead astern, 180 head-on. Shots of one cell differ in
altitude (3 to 7 km), speeds (220 to 290 m/s) and aspect (within 10 degrees).
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headctl_envs.dogfight.config import CAUSES, DogfightConfig
from headctl_envs.dogfight.engine import DogfightEngine
from headctl_envs.dogfight.world import MISSILE_FIELDS, MISSILE_SIZE, MOTION_FIELDS, MOTION_SIZE

TARGETS: dict[str, tuple[str, float]] = {
    "straight": ("hold", 6.0),
    "beaming": ("notch", 3.0),
    "notching": ("notch", 6.0),
    "extending": ("extend", 6.0),
}
"""Targets: the maneuver from the launch on, and the largest load factor in g. ``notch`` turns abeam of the missile."""

ASPECTS_DEG = (0.0, 45.0, 90.0, 135.0, 180.0)
SHARES = (0.15, 0.25, 0.4, 0.6, 0.8, 0.9, 1.0)

FLIGHT_S = 40.0
_MARGIN_M = 20.0
_LEVER = 0.77


def hit_rate(target: str, aspect_deg: float, share: float, *, shots: int = 100, seed: int = 0, **options: Any) -> float:
    """Returns the share of shots that hit.

    Args:
        target: One of :data:`TARGETS`.
        aspect_deg: Aspect angle of the shots' centre.
        share: Range as a share of each shot's own reach; never nearer than the fire control would launch.
        shots: Number of shots.
        seed: Seed of altitudes, speeds and aspects.
        **options: Options of :class:`DogfightConfig`, for example ``missile``.

    Raises:
        ValueError: An unknown target, or less than one shot.
    """
    if target not in TARGETS:
        raise ValueError(f"unknown target: {target!r}. Allowed: {', '.join(TARGETS)}")
    if shots < 1:
        raise ValueError(f"shots = {shots} must be at least 1")
    maneuver, load = TARGETS[target]
    config = DogfightConfig(
        **{
            "missiles": 1,
            "flares": 0,
            "floor_m": 0.0,
            "time_limit_s": 200.0,
            **options,
            "airframe_blue": {"base": "f16_like", "load_factor_max": load},
        }
    )
    engine = DogfightEngine(config, num_games=shots)
    engine.reset(seed=seed)
    _place(engine, aspect_deg, share, np.random.default_rng(seed))
    _launch(engine)
    return float(_fly(engine, config.library.index(maneuver)).mean())


def _place(engine: DogfightEngine, aspect_deg: float, share: float, rng: np.random.Generator) -> None:
    """Puts the shooters and their targets where the shots begin."""
    shots = engine.num_games
    motion = np.zeros((shots, 2, MOTION_SIZE), np.float32)
    height = 5000.0 + rng.uniform(-2000.0, 2000.0, shots)
    side = np.where(np.arange(shots) % 2, 1.0, -1.0)
    heading = np.radians(side * aspect_deg + rng.uniform(-10.0, 10.0, shots))
    speeds = np.stack([rng.uniform(220.0, 290.0, shots), rng.uniform(220.0, 280.0, shots)], 1)
    motion[:, :, MOTION_FIELDS["position"].start + 2] = -height[:, None]
    motion[:, :, MOTION_FIELDS["attitude"].stop - 1] = 1.0
    motion[:, 1, MOTION_FIELDS["attitude"].stop - 2] = np.sin(0.5 * heading)
    motion[:, 1, MOTION_FIELDS["attitude"].stop - 1] = np.cos(0.5 * heading)
    motion[:, :, MOTION_FIELDS["speed"].start] = speeds
    motion[:, :, MOTION_FIELDS["load_factor"].start] = 1.0
    motion[:, :, MOTION_FIELDS["lever"].start] = _LEVER
    # The reach depends on the geometry and not on the range, so it is read at some range first.
    probe = 3000.0
    motion[:, 1, 0] = probe
    _write(engine, motion)
    envelope = engine.current().observation[:, 0, engine.feature_names.index("envelope")].double().cpu().numpy()
    kind = engine.config.missile_type
    nearest = kind.range_min_m + _MARGIN_M + 6.0 * speeds[:, 1] * np.abs(np.sin(heading))
    motion[:, 1, 0] = np.maximum(share * probe / envelope, nearest)
    _write(engine, motion)


def _write(engine: DogfightEngine, motion: NDArray[np.float32]) -> None:
    engine.state["motion"].copy_(torch.from_numpy(motion))
    engine.observe()


def _launch(engine: DogfightEngine) -> None:
    """Puts a missile of each shooter on its way, whatever the fire control says."""
    motion = engine.state["motion"]
    record = torch.zeros(engine.num_games, MISSILE_SIZE, device=motion.device)
    record[:, MISSILE_FIELDS["position"]] = motion[:, 0, MOTION_FIELDS["position"]]
    record[:, MISSILE_FIELDS["velocity"].start] = motion[:, 0, MOTION_FIELDS["speed"].start]
    record[:, MISSILE_FIELDS["seeker"].start] = 1.0
    record[:, MISSILE_FIELDS["target"]] = 1.0
    record[:, MISSILE_FIELDS["phase"]] = 1.0
    engine.state["missiles"][:, 0, 0] = record


def _fly(engine: DogfightEngine, maneuver: int) -> NDArray[np.bool_]:
    """Flies until every missile has hit or is spent; returns who was hit, bool [N]."""
    shape = (engine.num_games, engine.num_seats)
    chosen = {
        "maneuver": torch.tensor([0, maneuver], device=engine.device).expand(shape),
        "weapon": torch.zeros(shape, dtype=torch.int64, device=engine.device),
        "params": torch.zeros((*shape, 3), device=engine.device),
    }
    hit = torch.zeros(engine.num_games, dtype=torch.bool, device=engine.device)
    over = hit.clone()
    phase = MISSILE_FIELDS["phase"].start
    for _ in range(math.ceil(FLIGHT_S / engine.config.decision_period_s)):
        step = engine.step(chosen)
        hit |= ~over & (engine.cause[:, 1] == CAUSES.index("missile"))
        over |= (step.outcome > 0) | (engine.state["missiles"][:, 0, 0, phase] == 0)
        if bool(over.all()):
            break
    return hit.cpu().numpy()
