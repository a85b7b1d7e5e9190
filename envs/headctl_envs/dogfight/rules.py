"""The options of a dogfight in the form in which the kernels read them."""

import math
from typing import Any

import warp as wp

from headctl_envs.dogfight.config import STARTS, DogfightConfig
from headctl_envs.dogfight.warp_struct import struct

# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false
# Fields of a Warp struct take plain numbers, which type checkers do not know.

StartShares: Any = wp.types.vector(length=len(STARTS), dtype=wp.float32)
"""Cumulative probabilities of the start geometries."""


@struct
class Rules:
    """The options of :class:`DogfightConfig` that the kernels need, in SI units and radians.

    ``armed`` is 1 where aircraft carry missiles or flares; ``at_...`` are the positions of the observation's blocks.
    ``per_...`` are reciprocals of what is divided by at every step, ``reach_...`` what a missile's reach is made of:
    see ``missiles.missile_reach``.
    """

    decision_s: wp.float32
    substep_s: wp.float32
    substeps: wp.int32
    seats: wp.int32
    team: wp.int32
    max_decisions: wp.int32
    floor_m: wp.float32
    collision_m: wp.float32
    gun_half_angle: wp.float32
    gun_range_min: wp.float32
    gun_range_max: wp.float32
    gun_damage: wp.float32
    gun_rounds: wp.float32
    gun_rate: wp.float32
    interlock_angle: wp.float32
    interlock_range: wp.float32
    armed: wp.int32
    missiles: wp.float32
    flares: wp.float32
    slots: wp.int32
    missile_steps: wp.int32
    missile_damage: wp.float32
    missile_cooldown: wp.float32
    flare_cooldown: wp.float32
    missile_mass: wp.float32
    missile_burn_rate: wp.float32
    missile_burn: wp.float32
    missile_thrust: wp.float32
    missile_area: wp.float32
    missile_drag: wp.float32
    missile_induced: wp.float32
    missile_load: wp.float32
    missile_pressure: wp.float32
    missile_navigation: wp.float32
    missile_gimbal_cos: wp.float32
    missile_view_cos: wp.float32
    missile_slew: wp.float32
    missile_launch: wp.float32
    missile_aspect: wp.float32
    missile_aspect_cos: wp.float32
    missile_lock: wp.float32
    missile_arm: wp.float32
    missile_lethal: wp.float32
    missile_speed_min: wp.float32
    missile_time_max: wp.float32
    missile_range_min: wp.float32
    reach_gain: wp.float32
    reach_burn_drag: wp.float32
    reach_decay: wp.float32
    reach_coast_max: wp.float32
    decoy: wp.float32
    altitude_min: wp.float32
    altitude_max: wp.float32
    speed_min: wp.float32
    speed_max: wp.float32
    range_min: wp.float32
    range_max: wp.float32
    spacing: wp.float32
    gamma: wp.float32
    damage_weight: wp.float32
    loss_weight: wp.float32
    missile_cost: wp.float32
    flare_cost: wp.float32
    per_decisions: wp.float32
    per_rounds: wp.float32
    per_missiles: wp.float32
    per_flares: wp.float32
    per_lock: wp.float32
    per_aim: wp.float32
    game_offset: wp.int32
    enemies_seen: wp.int32
    allies_seen: wp.int32
    missiles_seen: wp.int32
    frame: wp.int32
    at_stores: wp.int32
    at_team: wp.int32
    at_enemies: wp.int32
    at_allies: wp.int32
    at_missiles: wp.int32
    at_world: wp.int32
    features: wp.int32
    start_until: StartShares  # pyright: ignore[reportInvalidTypeForm]  - Warp types are values


_SAME_NAME = {
    "substeps": "substeps",
    "seats": "num_seats",
    "team": "team_size",
    "floor_m": "floor_m",
    "collision_m": "collision_m",
    "gun_range_min": "gun_range_min_m",
    "gun_range_max": "gun_range_max_m",
    "gun_damage": "gun_damage_per_s",
    "gun_rounds": "gun_rounds",
    "gun_rate": "gun_rate_per_s",
    "interlock_range": "gun_interlock_range_m",
    "missiles": "missiles",
    "flares": "flares",
    "slots": "missiles_in_flight",
    "missile_damage": "missile_damage",
    "missile_cooldown": "missile_cooldown_s",
    "flare_cooldown": "flare_cooldown_s",
    "altitude_min": "start_altitude_min_m",
    "altitude_max": "start_altitude_max_m",
    "speed_min": "start_speed_min_m_s",
    "speed_max": "start_speed_max_m_s",
    "range_min": "start_range_min_m",
    "range_max": "start_range_max_m",
    "spacing": "team_spacing_m",
    "gamma": "gamma",
    "damage_weight": "damage_weight",
    "loss_weight": "loss_weight",
    "missile_cost": "missile_cost",
    "flare_cost": "flare_cost",
}
_SAME_NAME_OF_MISSILE = {
    "missile_mass": "mass_kg",
    "missile_burn": "burn_s",
    "missile_thrust": "thrust_n",
    "missile_area": "area_m2",
    "missile_drag": "drag_zero_lift",
    "missile_induced": "drag_induced",
    "missile_load": "load_factor_max",
    "missile_pressure": "pressure_full_pa",
    "missile_navigation": "navigation",
    "missile_lock": "lock_s",
    "missile_arm": "arm_s",
    "missile_lethal": "lethal_radius_m",
    "missile_speed_min": "speed_min_m_s",
    "missile_time_max": "time_max_s",
    "missile_range_min": "range_min_m",
    "decoy": "decoy_probability",
}
MISSILE_STEP_S = 0.05


def rules_struct(
    config: DogfightConfig, *, max_decisions: int, game_offset: int, layout: dict[str, int] | None = None
) -> Rules:
    """Copies the options into the kernels' form.

    Args:
        config: The options.
        max_decisions: Length limit of an episode.
        game_offset: Index of the first game.
        layout: Fields of :class:`Rules` about the observation; see ``sensing.layout_of``.
    """
    rules = Rules()
    for name, option in _SAME_NAME.items():
        setattr(rules, name, getattr(config, option))
    missile = config.missile_type
    for name, constant in _SAME_NAME_OF_MISSILE.items():
        setattr(rules, name, getattr(missile, constant))
    for name, value in (layout or {}).items():
        setattr(rules, name, value)
    rules.decision_s = config.decision_period_s
    rules.substep_s = config.decision_period_s / config.substeps
    rules.max_decisions = max_decisions
    rules.gun_half_angle = math.radians(config.gun_half_angle_deg)
    rules.interlock_angle = math.radians(config.gun_interlock_deg)
    rules.armed = int(config.armed)
    rules.missile_steps = math.ceil(rules.substep_s / MISSILE_STEP_S - 1e-6)
    rules.missile_burn_rate = missile.propellant_kg / missile.burn_s
    rules.missile_gimbal_cos = math.cos(math.radians(missile.gimbal_deg))
    rules.missile_view_cos = math.cos(math.radians(missile.view_half_angle_deg))
    rules.missile_slew = math.radians(missile.seeker_rate_deg_s)
    rules.missile_launch = math.radians(missile.launch_deg)
    rules.missile_aspect = math.radians(missile.aspect_max_deg)
    # Unit vectors are so to a rounding: a seeker of all aspects sees what comes exactly head-on.
    rules.missile_aspect_cos = math.cos(rules.missile_aspect) - 1e-6
    empty = missile.mass_kg - missile.propellant_kg
    mean = missile.mass_kg - 0.5 * missile.propellant_kg
    drag = 0.5 * missile.area_m2 * (missile.drag_zero_lift + 0.3)
    rules.reach_gain = missile.thrust_n * missile.burn_s / mean
    rules.reach_burn_drag = drag * missile.burn_s / mean
    rules.reach_decay = drag / empty
    rules.reach_coast_max = missile.time_max_s - missile.burn_s
    rules.per_decisions = 1.0 / max_decisions
    rules.per_rounds = 1.0 / max(config.gun_rounds, 1)
    rules.per_missiles = 1.0 / max(config.missiles, 1)
    rules.per_flares = 1.0 / max(config.flares, 1)
    rules.per_lock = 1.0 / max(missile.lock_s, 0.01)
    rules.per_aim = 1.0 / (3.0 * rules.gun_half_angle)
    rules.game_offset = game_offset
    probabilities = config.start_probabilities
    rules.start_until = StartShares(*(sum(probabilities[: i + 1]) for i in range(len(probabilities))))
    return rules
