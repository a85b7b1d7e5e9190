"""Weapons as rules: when they are legal, what they do, and how all fire of one substep is resolved at once.

The gun's cone and its damage law are those of the AlphaDogfight trials: 2 degrees aperture, 500 to 3000 ft, damage per
second ``(3000 - range_ft) / 2500``. Fire of one substep is resolved from one state for all seats before anything is
applied: nobody shoots first, and two may kill each other.
"""

import warp as wp

from headctl_envs.dogfight.flight import Motion, forward_of
from headctl_envs.dogfight.geometry import Sight, sight
from headctl_envs.dogfight.missiles import (
    closest,
    flown,
    is_flying,
    is_spent,
    launched,
    missile_nearest,
    missile_reach,
    thin_air_at,
)
from headctl_envs.dogfight.names import WEAPONS
from headctl_envs.dogfight.world import COASTING, EMPTY, GUIDED, Missile, Rules, World, first_enemy, random_stream

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
def gun_damage_rate(view: Sight, rules: Rules) -> float:
    """Health per second that a firing gun takes from the aircraft in view; 0 outside the zone (edges included)."""
    rate = wp.float32(0.0)
    if view.ata <= rules.gun_half_angle and view.range >= rules.gun_range_min and view.range <= rules.gun_range_max:
        rate = rules.gun_damage * (rules.gun_range_max - view.range) / (rules.gun_range_max - rules.gun_range_min)
    return rate


@wp.func
def in_gun_zone(view: Sight, rules: Rules) -> float:
    """1 if the aircraft in view is in the gun's cone and range, else 0."""
    inside = (
        view.ata <= rules.gun_half_angle and view.range >= rules.gun_range_min and view.range <= rules.gun_range_max
    )
    return wp.where(inside, 1.0, 0.0)


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
def any_gun_legal(world: World, rules: Rules, n: int, s: int) -> bool:
    """Whether any live enemy makes the gun of seat ``s`` legal."""
    legal = gun_legal(world.view[n, s], world.rounds[n, s], world.health[n, world.target[n, s]], rules)
    if rules.team > 1 and not legal and world.rounds[n, s] > 0.0:
        own = world.motion[n, s]
        first = first_enemy(rules, s)
        for i in range(rules.team):
            other = first + i
            # The interlock may be wider than a right angle: then only the distance is a cheap question.
            near = wp.length(world.motion[n, other].position - own.position) <= rules.interlock_range
            if near and world.health[n, other] > 0.0:
                view = sight(own, world.motion[n, other])
                legal = legal or gun_legal(view, 1.0, 1.0, rules)
    return legal


@wp.func
def gun_victim(world: World, rules: Rules, n: int, s: int) -> int:
    """Seat of the live enemy that the gun of seat ``s`` would harm most, or -1."""
    victim = wp.int32(-1)
    if rules.team == 1:
        if in_gun_zone(world.view[n, s], rules) > 0.0:
            victim = world.target[n, s]
    else:
        own = world.motion[n, s]
        first = first_enemy(rules, s)
        nearest = wp.float32(1.0e9)
        for i in range(rules.team):
            other = first + i
            if world.health[n, other] > 0.0:  # noqa: SIM102 - the second question is the dearer one
                # In front only up to a right angle: wider cones are for curricula, and still need the enemy ahead.
                if near_in_front(own, world.motion[n, other], rules.gun_range_max):
                    view = sight(own, world.motion[n, other])
                    if in_gun_zone(view, rules) > 0.0 and view.range < nearest:
                        nearest = view.range
                        victim = other
    return victim


@wp.func
def missile_room(world: World, rules: Rules, n: int, s: int) -> int:
    """An empty slot for a missile of seat ``s``, or -1 where it has as many in the air as it may."""
    slot = wp.int32(-1)
    for m in range(rules.slots):
        if slot < 0 and world.missiles[n, s, m].phase == EMPTY:
            slot = m
    return slot


@wp.func
def seeker_sees(view: Sight, rules: Rules) -> bool:
    """Whether the seeker of a missile on the rail can lock on to the aircraft in view."""
    return view.ata <= rules.missile_launch and view.aa <= rules.missile_aspect


@wp.func
def missile_legal(world: World, rules: Rules, n: int, s: int) -> bool:
    """Whether a launch is physically possible: a missile, a lock, and the target inside the envelope."""
    legal = wp.bool(False)
    if (
        world.missiles_left[n, s] > 0.0
        and world.missile_wait[n, s] <= 1.0e-4
        and world.lock_s[n, s] >= rules.missile_lock - 1.0e-4
    ):
        target = world.target[n, s]
        view = world.view[n, s]
        if world.health[n, target] > 0.0 and seeker_sees(view, rules):
            speed = world.motion[n, target].speed
            legal = (
                view.range > missile_nearest(speed, view, rules)
                and view.range < missile_reach(world.motion[n, s], speed, view, rules)
                and missile_room(world, rules, n, s) >= 0
            )
    return legal


@wp.func
def flare_legal(world: World, n: int, s: int) -> bool:
    """Whether a flare can be dropped: one left, and the dispenser ready."""
    return world.flares[n, s] > 0.0 and world.flare_wait[n, s] <= 1.0e-4


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
def drop_flare(world: World, rules: Rules, seed: int, n: int, s: int) -> float:
    """Seat ``s`` drops a flare; every missile that tracks it may fall for it. Returns the number of those that do.

    The draws depend on the counters and on the missile's place in its team, not on its side.
    """
    world.flares[n, s] = world.flares[n, s] - 1.0
    world.flare_wait[n, s] = rules.flare_cooldown
    fallen = wp.float32(0.0)
    first = first_enemy(rules, s)
    for i in range(rules.team):
        for m in range(rules.slots):
            missile = world.missiles[n, first + i, m]
            if missile.phase == GUIDED and int(missile.target) == s:
                rng = random_stream(
                    seed,
                    rules.game_offset + n,
                    world.episode[n],
                    PURPOSE_DECOY + world.clock[n] * 64 + i * rules.slots + m,
                )
                if wp.randf(rng) < decoy_probability(missile, world.motion[n, s], rules):
                    missile.phase = COASTING
                    world.missiles[n, first + i, m] = missile
                    fallen = fallen + 1.0
    return fallen


@wp.func
def launch_missile(world: World, rules: Rules, n: int, s: int) -> None:
    """Seat ``s`` fires a missile at its target."""
    slot = missile_room(world, rules, n, s)
    if slot >= 0:
        world.missiles[n, s, slot] = launched(world.motion[n, s], world.view[n, s].los, world.target[n, s])
        world.missiles_left[n, s] = world.missiles_left[n, s] - 1.0
        world.missile_wait[n, s] = rules.missile_cooldown


@wp.func
def fly_missile(world: World, rules: Rules, n: int, s: int, m: int) -> int:
    """Flies one missile for a substep, while its target moves on evenly. Returns 1 if it hit, 2 if it is spent."""
    missile = world.missiles[n, s, m]
    target = int(missile.target)
    before = world.motion[n, target]
    way = world.moved[n, target].position - before.position
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
                and world.health[n, target] > 0.0
            ):
                end = 1
            elif is_spent(moved, offset, velocity, rules):
                end = 2
            missile = moved
    if end != 0 or world.health[n, target] <= 0.0:
        missile.phase = EMPTY
        end = wp.where(end == 1, 1, 2)
    world.missiles[n, s, m] = missile
    return end


@wp.func
def fly_missiles(world: World, rules: Rules, n: int) -> wp.vec2:
    """Flies all missiles of game ``n`` for a substep and notes what they want to do. Returns how many ended and hit."""
    ended = wp.float32(0.0)
    hits = wp.float32(0.0)
    for s in range(rules.seats):
        for m in range(rules.slots):
            if is_flying(world.missiles[n, s, m]):
                target = int(world.missiles[n, s, m].target)
                end = fly_missile(world, rules, n, s, m)
                if end != 0:
                    ended = ended + 1.0
                if end == 1:
                    hits = hits + 1.0
                    world.claim[n, s, target] = world.claim[n, s, target] + rules.missile_damage
                    world.blast[n, target] = world.blast[n, target] + rules.missile_damage
    return wp.vec2(ended, hits)


@wp.func
def fire_guns(world: World, rules: Rules, n: int) -> None:
    """Notes what the guns of game ``n`` want to do in a substep, from the state at its end."""
    for s in range(rules.seats):
        if world.health[n, s] > 0.0:
            victim = gun_victim(world, rules, n, s)
            if victim >= 0:
                world.zone_s[n, s] = world.zone_s[n, s] + rules.substep_s
            if world.trigger[n, s] == WEAPON_GUN:
                wanted = rules.gun_rate * rules.substep_s
                fired = wp.min(wanted, world.rounds[n, s])
                world.rounds[n, s] = world.rounds[n, s] - fired
                if victim >= 0:
                    view = world.view[n, s]
                    if victim != world.target[n, s]:
                        view = sight(world.motion[n, s], world.motion[n, victim])
                    harm = gun_damage_rate(view, rules) * rules.substep_s * fired / wanted
                    world.claim[n, s, victim] = world.claim[n, s, victim] + harm


@wp.func
def apply_damage(world: World, rules: Rules, n: int) -> None:
    """Takes the health that was claimed, all at once; claims beyond what is left are shared in proportion."""
    for victim in range(rules.seats):
        first = first_enemy(rules, victim)
        claimed = wp.float32(0.0)
        for i in range(rules.team):
            claimed = claimed + world.claim[n, first + i, victim]
        if claimed > 0.0:
            taken = wp.min(claimed, world.health[n, victim])
            for i in range(rules.team):
                world.dealt[n, first + i] = (
                    world.dealt[n, first + i] + taken * world.claim[n, first + i, victim] / claimed
                )
                world.claim[n, first + i, victim] = 0.0
            world.damage[n, victim] = world.damage[n, victim] + taken
            world.health[n, victim] = world.health[n, victim] - taken


@wp.func
def track_targets(world: World, rules: Rules, n: int) -> None:
    """Lets lock times and cooldowns run for one decision."""
    for s in range(rules.seats):
        seen = seeker_sees(world.view[n, s], rules) and world.health[n, world.target[n, s]] > 0.0
        world.lock_s[n, s] = wp.where(seen, wp.min(world.lock_s[n, s] + rules.decision_s, 10.0), 0.0)
        world.missile_wait[n, s] = wp.max(world.missile_wait[n, s] - rules.decision_s, 0.0)
        world.flare_wait[n, s] = wp.max(world.flare_wait[n, s] - rules.decision_s, 0.0)
