"""Missile shots for tests and tables: one missile, one target, no flares."""

import math

import numpy as np
import torch
from headctl_envs.dogfight.config import CAUSES
from headctl_envs.dogfight.world import MISSILE_FIELDS

from tests.helpers.dogfights import actions, engine_with
from tests.helpers.flight_probe import aircraft, directions

SIX_G = {"load_factor_max": 6.0, "base": "f16_like"}
"""An aircraft whose hardest turn is 6 g."""


def geometry(distance, aspect_deg, *, altitude=5000.0, speed=250.0, target_speed=250.0, off_deg=0.0):
    """A pair: the target ``distance`` ahead of the shooter, its heading ``aspect_deg`` from the line of sight."""
    angle = math.radians(off_deg)
    return [
        aircraft(altitude=altitude, speed=speed),
        aircraft(
            north=distance * math.cos(angle),
            east=distance * math.sin(angle),
            altitude=altitude,
            heading=aspect_deg + off_deg,
            speed=target_speed,
        ),
    ]


def reaches(pairs, **options):
    """Largest range at which the fire control would launch, in m, per pair (the range in it does not matter)."""
    engine = engine_with(pairs, missiles=1, **options)
    envelope = engine.current().observation[:, 0, engine.feature_names.index("envelope")].double().numpy()
    distance = np.linalg.norm(np.array(pairs)[:, 1, :3] - np.array(pairs)[:, 0, :3], axis=1)
    assert (envelope < 2.0).all()
    return distance / envelope


def put_missile(engine, game, seat=0, target=1, *, lead=None, **fields):
    """Puts a missile that has just been fired at ``target`` into slot 0 of a seat."""
    motion = engine.state["motion"][game].double().numpy()
    own, other = motion[seat], motion[target]
    los = other[:3] - own[:3]
    record = np.zeros(12, np.float32)
    record[MISSILE_FIELDS["position"]] = own[:3]
    record[MISSILE_FIELDS["velocity"]] = directions(own)[0] * own[7]
    record[MISSILE_FIELDS["seeker"]] = los / np.linalg.norm(los) if lead is None else lead
    record[MISSILE_FIELDS["target"]] = target
    record[MISSILE_FIELDS["phase"]] = 1.0
    for name, value in fields.items():
        record[MISSILE_FIELDS[name]] = value
    engine.state["missiles"][game, seat, 0] = torch.from_numpy(record)


def shots(pairs, maneuver="hold", *, six_g=True, seconds=40.0, react_s=0.0, params=(0.0, 0.0, 0.0), **options):
    """Fires one missile per pair, whatever the fire control says; returns who was hit, bool [n].

    The target holds its course until ``react_s`` and flies ``maneuver`` from then on.
    """
    options = {"airframe_blue": SIX_G if six_g else "", "missiles": 1, "time_limit_s": 200.0, **options}
    engine = engine_with(pairs, floor_m=0.0, **options)
    for game in range(len(pairs)):
        put_missile(engine, game)
    hit = torch.zeros(len(pairs), dtype=torch.bool)
    over = torch.zeros(len(pairs), dtype=torch.bool)
    for step in range(round(seconds / engine.config.decision_period_s)):
        late = step * engine.config.decision_period_s >= react_s
        chosen = actions(engine, ("hold", maneuver if late else "hold"), params=params)
        result = engine.step(chosen)
        hit |= ~over & (engine.cause[:, 1] == CAUSES.index("missile"))
        over |= (result.outcome > 0) | (engine.state["missiles"][:, 0, 0, MISSILE_FIELDS["phase"]] == 0).squeeze(-1)
        if over.all():
            break
    return hit.numpy()
