"""# Dogfight

| Import               | `from headctl_envs import dogfight_v0`                      |
|----------------------|-------------------------------------------------------------|
| Actions              | Discrete and continuous (`Dict`)                            |
| Parallel API         | Yes                                                         |
| Manual Control       | No                                                          |
| Agents               | `agents= ['red_0', 'blue_0']`                               |
| Agents               | 2                                                           |
| Action Shape         | `Dict(maneuver: (), params: (3,), weapon: ())`              |
| Action Values        | `Discrete(14)`, `[-1, 1]`, `Discrete(4)`                    |
| Observation Shape    | `Dict(mask_maneuver: (14,), mask_weapon: (4,), observation: (44,))` |
| Observation Values   | `[-10, 10]`, masks 0 or 1                                   |
| State Shape          | (88,)                                                       |
| State Values         | `[-10, 10]`                                                 |

Two fighters in a gun fight, zero-sum. The flight model has three degrees of freedom and roll, is integrated with the
fourth-order Runge-Kutta method and behaves like an F-16. A decision, five times a second, has three parts: a *maneuver*
(turns, pulls, pursuits), a *weapon* action (fire the gun or hold) and continuous *params*, which modify the maneuver:
how hard to pull, the throttle, and a tilt of the lift vector.

**Observations**: `observation` holds numbers of order one about the own aircraft and about the enemy, vectors in the
own wind frame (`headctl_envs.dogfight.features` names them). `mask_maneuver` and `mask_weapon` (int8) say which
choices are legal; `hold` always is. Masked choices are tolerated and count as maneuver 0 and weapon `hold`.

**Rewards**: +1 for a win, -1 for a loss, 0 for a draw; half of the damage dealt minus that taken; and potential-based
shaping. The two rewards always sum to zero.

**Termination**: an aircraft shot down, below the floor or in a collision ends the episode for both. The time limit
truncates it for both. `infos` have the same numeric keys at every step; `outcome` is 0 while the game goes on, 1 if red
won, 2 if blue won, 3 for a draw.

### Arguments

```python
dogfight_v0.parallel_env(max_cycles=None, render_mode=None, **options)
```

`max_cycles`: the episode is truncated after this many decisions; `None` takes it from `time_limit_s`

`render_mode`: `None` or `"ansi"`, one line of text

`options`: every option of `headctl_envs.dogfight.config.DogfightConfig`, for example `maneuvers="basic7"`,
`gun_half_angle_deg=5.0` or `start="head_on"`; the documentation of the dogfight lists them

### Version History

* v0: one against one, guns
"""  # noqa: D415  - PettingZoo makes a page out of this docstring, its first line is the heading

from headctl_envs.dogfight.face import env, parallel_env, raw_env

__all__ = ["env", "parallel_env", "raw_env"]
