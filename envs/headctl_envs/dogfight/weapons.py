"""Weapons as rules: when they are legal, what they do, and how all fire of one substep is resolved at once.

The gun's cone and its damage law are those of the AlphaDogfight trials: 2 degrees aperture, 500 to 3000 ft, damage per
second ``(3000 - range_ft) / 2500``. Fire of one substep is resolved from one state for all seats before anything is
applied: nobody shoots first, and two may kill each other.
"""

import warp as wp

from headctl_envs.dogfight.flight import Motion, forward_of
from headctl_envs.dogfight.geometry import Sight, angle_off_nose, glance, sight
from headctl_envs.dogfight.missiles import (
    closest,
    flown,
    is_spent,
    launched,
    missile_nearest,
    thin_air_at,
)
from headctl_envs.dogfight.names import WEAPONS
from headctl_envs.dogfight.world import COASTING, EMPTY, GUIDED, Arena, Missile, Rules, first_enemy, random_stream

# pyright: reportIndexIssue=false, reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportReturnType=false
# Kernels are written in Warp's language, which only looks like Python: Warp's own compiler checks their types.

wp.set_module_options({"enable_backward": False})

WEAPON_GUN = wp.constant(WEAPONS.index("gun"))
WEAPON_MISSILE = wp.constant(WEAPONS.index("missile"))
WEAPON_FLARE = wp.constant(WEAPONS.index("flare"))

PURPOSE_DECOY = wp.constant(5000)
BURNER = wp.constant(0.77)


@wp.func
def in_gun_zone(view: Sight, rules: Rules) -> float:
    """1 if the aircraft in view is in the gun's cone and range, else 0. A glance will do: few are near enough."""
    inside = wp.float32(0.0)
    if view.range >= rules.gun_range_min and view.range <= rules.gun_range_max:  # noqa: SIM102 - the cheap question first
        if angle_off_nose(view) <= rules.gun_half_angle:
            inside = 1.0
    return inside


@wp.func
def gun_damage_rate(view: Sight, rules: Rules) -> float:
    """Health per second that a firing gun takes from the aircraft in view; 0 outside the zone (edges included)."""
    rate = wp.float32(0.0)
    if in_gun_zone(view, rules) > 0.0:
        rate = rules.gun_damage * (rules.gun_range_max - view.range) / (rules.gun_range_max - rules.gun_range_min)
    return rate


@wp.func
def gun_legal(view: Sight, rounds: float, enemy_health: float, rules: Rules) -> bool:
    """Whether the fire control lets the gun fire: rounds left, and a live enemy near the nose and near enough."""
    return (
        rounds > 0.0
        and enemy_health > 0.0
        and view.ata <= rules.interlock_angle
        and view.range <= rules.interlock_range
    )


@wp.func
def near_in_front(own: Motion, other: Motion, reach: float) -> bool:
    """Whether another aircraft may matter to the gun: nearer than ``reach`` and ahead. Cheap; a sight is not."""
    offset = other.position - own.position
    return wp.dot(offset, offset) <= reach * reach and wp.dot(offset, forward_of(own.attitude)) > 0.0


@wp.func
def any_gun_legal(arena: Arena, rules: Rules, n: int, s: int) -> bool:
    """Whether any live enemy makes the gun of seat ``s`` legal."""
    legal = gun_legal(
        arena.seats[n, s].view, arena.seats[n, s].rounds, arena.seats[n, arena.seats[n, s].target].health, rules
    )
    if rules.team > 1 and not legal and arena.seats[n, s].rounds > 0.0:
        own = arena.seats[n, s].motion
        first = first_enemy(rules, s)
        for i in range(rules.team):
            other = first + i
            # The interlock may be wider than a right angle: then only the distance is a cheap question.
            near = wp.length(arena.seats[n, other].motion.position - own.position) <= rules.interlock_range
            if near and arena.seats[n, other].health > 0.0:
                view = sight(own, arena.seats[n, other].motion)
                legal = legal or gun_legal(view, 1.0, 1.0, rules)
    return legal


@wp.func
def gun_victim(arena: Arena, rules: Rules, n: int, s: int) -> int:
    """Seat of the live enemy that the gun of seat ``s`` would harm most, or -1."""
    victim = wp.int32(-1)
    if rules.team == 1:
        if in_gun_zone(arena.seats[n, s].view, rules) > 0.0:
            victim = arena.seats[n, s].target
    else:
        own = arena.seats[n, s].motion
        first = first_enemy(rules, s)
        nearest = wp.float32(1.0e9)
        for i in range(rules.team):
            other = first + i
            if arena.seats[n, other].health > 0.0:  # noqa: SIM102 - the second question is the dearer one
                # In front only up to a right angle: wider cones are for curricula, and still need the enemy ahead.
                if near_in_front(own, arena.seats[n, other].motion, rules.gun_range_max):
                    view = glance(own, arena.seats[n, other].motion)
                    if in_gun_zone(view, rules) > 0.0 and view.range < nearest:
                        nearest = view.range
                        victim = other
    return victim


@wp.func
def missile_room(arena: Arena, rules: Rules, n: int, s: int) -> int:
    """An empty slot for a missile of seat ``s``, or -1 where it has as many in the air as it may."""
    slot = wp.int32(-1)
    for m in range(rules.slots):
        if slot < 0 and arena.missiles[n, s, m].phase == EMPTY:
            slot = m
    return slot


@wp.func
def seeker_sees(view: Sight, rules: Rules) -> bool:
    """Whether the seeker of a missile on the rail can lock on to the aircraft in view."""
    return view.ata <= rules.missile_launch and view.aa <= rules.missile_aspect


@wp.func
def missile_legal(arena: Arena, rules: Rules, reach: float, n: int, s: int) -> bool:
    """Whether a launch is physically possible: a missile, a lock, the target in view and within ``reach``."""
    legal = wp.bool(False)
    if (
        arena.seats[n, s].missiles_left > 0.0
        and arena.seats[n, s].missile_wait <= 1.0e-4
        and arena.seats[n, s].lock_s >= rules.missile_lock - 1.0e-4
    ):
        target = arena.seats[n, s].target
        view = arena.seats[n, s].view
        if arena.seats[n, target].health > 0.0 and seeker_sees(view, rules):
            speed = arena.seats[n, target].motion.speed
            legal = (
                view.range > missile_nearest(speed, view, rules)
                and view.range < reach
                and missile_room(arena, rules, n, s) >= 0
            )
    return legal


@wp.func
def flare_legal(arena: Arena, n: int, s: int) -> bool:
    """Whether a flare can be dropped: one left, and the dispenser ready."""
    return arena.seats[n, s].flares > 0.0 and arena.seats[n, s].flare_wait <= 1.0e-4


@wp.func
def decoy_probability(missile: Missile, own: Motion, rules: Rules) -> float:
    """Probability that a flare of ``own`` decoys a missile that tracks it.

    The hot side of the aircraft outshines the flare: 0.7 of the probability is left to a missile dead astern, and 0.7
    of that with the afterburner lit. Nearer than 800 m there is less and less time, nearer than 200 m none.
    """
    offset = own.position - missile.position
    distance = wp.max(wp.length(offset), 1.0)
    astern = 0.5 + 0.5 * wp.dot(offset, forward_of(own.attitude)) / distance
    heat = wp.where(own.lever > BURNER, 0.7, 1.0)
    return rules.decoy * (1.0 - 0.3 * astern) * heat * wp.clamp((distance - 200.0) / 600.0, 0.0, 1.0)


@wp.func
def drop_flare(arena: Arena, rules: Rules, seed: int, n: int, s: int) -> float:
    """Seat ``s`` drops a flare; every missile that tracks it may fall for it. Returns the number of those that do.

    The draws depend on the counters and on the missile's place in its team, not on its side.
    """
    arena.seats[n, s].flares = arena.seats[n, s].flares - 1.0
    arena.seats[n, s].flare_wait = rules.flare_cooldown
    fallen = wp.float32(0.0)
    first = first_enemy(rules, s)
    for i in range(rules.team):
        for m in range(rules.slots):
            missile = arena.missiles[n, first + i, m]
            if missile.phase == GUIDED and int(missile.target) == s:
                rng = random_stream(
                    seed,
                    rules.game_offset + n,
                    arena.games[n].episode,
                    PURPOSE_DECOY + arena.games[n].clock * 64 + i * rules.slots + m,
                )
                if wp.randf(rng) < decoy_probability(missile, arena.seats[n, s].motion, rules):
                    missile.phase = COASTING
                    arena.missiles[n, first + i, m] = missile
                    fallen = fallen + 1.0
    return fallen


@wp.func
def launch_missile(arena: Arena, rules: Rules, n: int, s: int) -> None:
    """Seat ``s`` fires a missile at its target."""
    slot = missile_room(arena, rules, n, s)
    if slot >= 0:
        arena.missiles[n, s, slot] = launched(
            arena.seats[n, s].motion, arena.seats[n, s].view.los, arena.seats[n, s].target
        )
        arena.seats[n, s].missiles_left = arena.seats[n, s].missiles_left - 1.0
        arena.seats[n, s].missile_wait = rules.missile_cooldown


@wp.func
def fly_missile(arena: Arena, rules: Rules, n: int, s: int, m: int) -> int:
    """Flies one missile for a substep, while its target moves on evenly. Returns 1 if it hit, 2 if it is spent."""
    missile = arena.missiles[n, s, m]
    target = int(missile.target)
    before = arena.seats[n, target].motion
    way = arena.seats[n, target].moved.position - before.position
    dt = rules.substep_s / float(rules.missile_steps)
    velocity = way / rules.substep_s
    air = thin_air_at(-missile.position[2])
    end = wp.int32(0)
    for i in range(rules.missile_steps):
        if end == 0:
            goal = before.position + way * (float(i) / float(rules.missile_steps))
            moved = flown(missile, goal, velocity, rules, air, dt)
            goal_after = before.position + way * (float(i + 1) / float(rules.missile_steps))
            offset = goal_after - moved.position
            if (
                closest(goal - missile.position, offset) <= rules.missile_lethal
                and moved.age >= rules.missile_arm
                and arena.seats[n, target].health > 0.0
            ):
                end = 1
            elif is_spent(moved, offset, velocity, rules):
                end = 2
            missile = moved
    if end != 0 or arena.seats[n, target].health <= 0.0:
        missile.phase = EMPTY
        end = wp.where(end == 1, 1, 2)
    arena.missiles[n, s, m] = missile
    return end


@wp.func
def missiles_flying(arena: Arena, rules: Rules, n: int) -> int:
    """How many missiles game ``n`` has in the air."""
    flying = wp.int32(0)
    for s in range(rules.seats):
        for m in range(rules.slots):
            flying = flying + wp.where(arena.missiles[n, s, m].phase != EMPTY, 1, 0)
    return flying


@wp.func
def fly_missiles(arena: Arena, rules: Rules, n: int) -> int:
    """Flies all missiles of game ``n`` for a substep and notes what they want to do. Returns how many hit."""
    hits = wp.int32(0)
    for s in range(rules.seats):
        for m in range(rules.slots):
            if arena.missiles[n, s, m].phase != EMPTY:
                target = int(arena.missiles[n, s, m].target)
                end = fly_missile(arena, rules, n, s, m)
                if end != 0:
                    arena.counts[n].missile_ends = arena.counts[n].missile_ends + 1.0
                if end == 1:
                    hits = hits + 1
                    arena.counts[n].missile_hits = arena.counts[n].missile_hits + 1.0
                    arena.claim[n, s, target] = arena.claim[n, s, target] + rules.missile_damage
                    arena.seats[n, target].blast = arena.seats[n, target].blast + rules.missile_damage
    return hits


@wp.func
def fire_guns(arena: Arena, rules: Rules, n: int) -> int:
    """Notes what the guns of game ``n`` want to do in a substep, from the state at its end. Returns how many hit."""
    hits = wp.int32(0)
    for s in range(rules.seats):
        if arena.seats[n, s].health > 0.0:
            victim = gun_victim(arena, rules, n, s)
            if victim >= 0:
                arena.seats[n, s].zone_s = arena.seats[n, s].zone_s + rules.substep_s
            if arena.seats[n, s].trigger == WEAPON_GUN:
                wanted = rules.gun_rate * rules.substep_s
                fired = wp.min(wanted, arena.seats[n, s].rounds)
                arena.seats[n, s].rounds = arena.seats[n, s].rounds - fired
                if victim >= 0:
                    view = arena.seats[n, s].view
                    if victim != arena.seats[n, s].target:
                        view = glance(arena.seats[n, s].motion, arena.seats[n, victim].motion)
                    harm = gun_damage_rate(view, rules) * rules.substep_s * fired / wanted
                    arena.claim[n, s, victim] = arena.claim[n, s, victim] + harm
                    hits = hits + 1
    return hits


@wp.func
def apply_damage(arena: Arena, rules: Rules, n: int) -> None:
    """Takes the health that was claimed, all at once; claims beyond what is left are shared in proportion."""
    for victim in range(rules.seats):
        first = first_enemy(rules, victim)
        claimed = wp.float32(0.0)
        for i in range(rules.team):
            claimed = claimed + arena.claim[n, first + i, victim]
        if claimed > 0.0:
            taken = wp.min(claimed, arena.seats[n, victim].health)
            for i in range(rules.team):
                arena.seats[n, first + i].dealt = (
                    arena.seats[n, first + i].dealt + taken * arena.claim[n, first + i, victim] / claimed
                )
                arena.claim[n, first + i, victim] = 0.0
            arena.seats[n, victim].damage = arena.seats[n, victim].damage + taken
            arena.seats[n, victim].health = arena.seats[n, victim].health - taken


@wp.func
def track_targets(arena: Arena, rules: Rules, n: int) -> None:
    """Lets lock times and cooldowns run for one decision."""
    for s in range(rules.seats):
        seen = seeker_sees(arena.seats[n, s].view, rules) and arena.seats[n, arena.seats[n, s].target].health > 0.0
        arena.seats[n, s].lock_s = wp.where(seen, wp.min(arena.seats[n, s].lock_s + rules.decision_s, 10.0), 0.0)
        arena.seats[n, s].missile_wait = wp.max(arena.seats[n, s].missile_wait - rules.decision_s, 0.0)
        arena.seats[n, s].flare_wait = wp.max(arena.seats[n, s].flare_wait - rules.decision_s, 0.0)
