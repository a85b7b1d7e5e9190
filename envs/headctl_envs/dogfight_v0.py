"""# Dogfight

| Import               | `from headctl_envs import dogfight_v0`                      |
|----------------------|-------------------------------------------------------------|
| Registry             | `pettingzoo.make("parallel", "headctl/dogfight-v0")` after the import |
| Actions              | Discrete and continuous (`Dict`); discrete in two other layouts |
| Parallel API         | Yes                                                         |
| Manual Control       | No                                                          |
| Agents               | `agents= ['red_0', 'blue_0']`                               |
| Agents               | 2, up to 8 with `team_size`                                 |
| Action Shape         | `Dict(maneuver: (), params: (3,), weapon: ())`              |
| Action Values        | `Discrete(14)`, `[-1, 1]`, `Discrete(4)`                    |
| Observation Shape    | `Dict(mask_maneuver: (14,), mask_weapon: (4,), observation: (68,))` |
| Observation Values   | `[-10, 10]`, masks 0 or 1                                   |
| State Shape          | (136,)                                                      |
| State Values         | `[-10, 10]`                                                 |

Two fighters, or two teams of up to four, with guns, missiles and flares, zero-sum. The flight model has three degrees
of freedom and roll, is integrated with the fourth-order Runge-Kutta method and behaves like an F-16. A decision, five
times a second, has three parts: a *maneuver* (turns, pulls, pursuits), a *weapon* action (hold, gun, missile, flare)
and continuous *params*, which modify the maneuver: how hard to pull, the throttle, and a tilt of the lift vector.
`missiles=0, flares=0` leaves a gun fight, whose observations are (44,).

### Observations

`observation` (float32) holds numbers of order one about the own aircraft and about the enemy, vectors in the own wind
frame; `parallel_env(...).engine.feature_names` names them. `mask_maneuver` and `mask_weapon` (int8) say which choices
are legal; `hold` always is, so no mask is empty. `state()` is the observations of all agents behind one another.

### Actions and layouts

Masked choices are tolerated: they count as maneuver 0 and weapon `hold`, and `infos` count them. So are choices that do
not exist; residuals are clipped to [-1, 1] and NaN is 0. With `strict_actions=True` the last three raise `ValueError`.
An action of the wrong shape or type always does, before anything is flown. An agent without an action flies the nominal
maneuver 0 and holds fire, names that are not playing are ignored. A step with actions after the end of an episode, or
before the first reset, raises `RuntimeError`.

Libraries differ in the spaces that they take. All layouts play the same game:

| `action_layout` | action | observation | for |
|---|---|---|---|
| `"dict"` | `Dict(maneuver, params, weapon)` | with `mask_maneuver`, `mask_weapon` | headctl, TorchRL, RLlib |
| `"multidiscrete"` | `MultiDiscrete([14, 4, B, B, B])` | with `mask_action`, the parts in a row | RLlib, headctl |
| `"flat"` | `Discrete(56 B^3)` | the features alone, a `Box` | Stable-Baselines3, CleanRL, SuperSuit |
| `"flat"`, masked | `Discrete(56 B^3)` | with `action_mask` | maskable learners, TorchRL |

The last line is `action_layout="flat", observe_masks=True`. `B` is `params_bins`, the number of values from -1 to 1
that every residual can take: 5 for `multidiscrete`; 1 for `flat`, where residuals are left at their nominal value,
zero. A flat action is `(maneuver * 4 + weapon) * B^3 + bins`, the last residual fastest. The features tell the legal
choices too (`legal_gun`, `legal_dive`), for learners without masks, and `action_mask(agent)` returns the masks of any
layout.

### Rewards

+1 for a win, -1 for a loss, 0 for a draw; half of the damage dealt minus that taken; in teams, half of the share of
aircraft shot down minus that lost; small costs of missiles and flares; and potential-based shaping. Living aircraft of
a team get the same reward, those of the other team its negative; the dead get nothing more.

`set_progress(share)` tells the share of training that is done, with which the
shaping fades.

### Termination

An aircraft shot down, below the floor or in a collision is terminated and leaves the game; the end of a side ends the
episode for all.
The time limit truncates the episode for every agent that is still playing.

### Infos

The same numeric keys for every agent at every step, from reset on:

| key | meaning |
|---|---|
| `outcome` | 0 while the game goes on, 1 red has won, 2 blue has won, 3 draw |
| `cause` | how the own episode ended: 0 not, or with a victory; 1 gun, 2 missile, 3 crash, 4 collision, 5 time |
| `alive` | 1 as long as the own aircraft flies |
| `reward_outcome`, `reward_damage`, `reward_losses`, `reward_cost`, `reward_shaping` | the terms of the last reward |
| `health` | own health, 1 at the start |
| `rounds`, `missiles`, `flares` | shares that are left |
| `rounds_fired`, `missiles_fired`, `flares_dropped` | used in this episode |
| `gun_zone_s` | seconds of this episode with an observed enemy in the own gun zone, looked at once per decision |
| `illegal_actions` | decisions of this episode in which a choice was masked or did not exist |

### Rendering

`"rgb_array"`: top and side view with flight paths, gun zones and health, uint8 (720, 1000, 3). `"human"`: the same in a
window, which shows every step by itself; needs the extra `headctl[render]`. `"ansi"`: a line of text. A Tacview replay
is written by `headctl_envs.dogfight.acmi`.

### Arguments

```python
dogfight_v0.parallel_env(
    max_cycles=None, render_mode=None, action_layout="dict", params_bins=None, observe_masks=None, strict_actions=False,
    **options,
)
```

`max_cycles`: the episode is truncated after this many decisions; `None` takes it from `time_limit_s`

`render_mode`: `None`, `"human"`, `"rgb_array"` or `"ansi"`

`action_layout`: `"dict"`, `"multidiscrete"` or `"flat"`

`params_bins`: bins of every residual in the discrete layouts; `None` is 5 for `multidiscrete` and 1 for `flat`

`observe_masks`: whether observations hold the masks; `None`: yes, except for `flat`

`strict_actions`: raise where an action is out of range or NaN

`options`: every option of `headctl_envs.dogfight.config.DogfightConfig`, for example `maneuvers="basic7"`,
`gun_half_angle_deg=5.0` or `start="head_on"`; the documentation of the dogfight lists them

Pickling and `copy.deepcopy` keep the arguments, not the episode: reset the copy first.

### Version History

* v0: one against one to four against four; guns, missiles, flares
"""  # noqa: D415  - PettingZoo makes a page out of this docstring, its first line is the heading

import pettingzoo

from headctl_envs.dogfight.face import env, parallel_env, raw_env

__all__ = ["env", "parallel_env", "raw_env"]

REGISTRY_ID = "headctl/dogfight-v0"
"""Name under which ``pettingzoo.make`` finds the dogfight once this module has been imported."""


def _register() -> None:
    """Enters both forms into PettingZoo's registry, which versions before 1.27 do not have."""
    if not hasattr(pettingzoo, "register"):
        return
    if REGISTRY_ID not in pettingzoo.parallel_registry:
        pettingzoo.register("parallel", REGISTRY_ID, f"{__name__}:parallel_env")
    if REGISTRY_ID not in pettingzoo.aec_registry:
        pettingzoo.register("aec", REGISTRY_ID, f"{__name__}:env")


_register()
