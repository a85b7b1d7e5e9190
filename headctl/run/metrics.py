"""Every metric of a run: its name, unit, meaning, healthy range and what to do when it leaves that range.

One flat record per iteration goes to ``metrics.jsonl`` (one JSON object per line) and to TensorBoard; the horizontal
axis is always ``agent_steps``. ``docs/metrics.md`` shows the same table, and a test keeps the two equal.

Names contain placeholders: ``<head>`` is a head of the action space, ``<pilot>`` an opponent in evaluation,
``<opponent>`` one in training (a snapshot by its agent-steps, an anchor or a pilot by its name), ``<role>`` an
exploiter, ``<statistic>`` what the game itself reports. Everything under ``perf/`` depends on the clock; nothing else
does, so two runs of one seed write the same records apart from ``perf/``. Reading and writing them is
:mod:`headctl.run.records`.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from headctl.run.lines import METRICS_FILE, MetricsError, Record, read_metrics
from headctl.run.metric import Metric
from headctl.run.records import MetricsWriter
from headctl.run.selfplay_metrics import SELFPLAY_METRICS

__all__ = [
    "GROUPS",
    "METRICS",
    "METRICS_FILE",
    "Metric",
    "MetricsError",
    "MetricsWriter",
    "Record",
    "find_metric",
    "names_in",
    "read_metrics",
]


GROUPS: dict[str, str] = {
    "clock": "Clock",
    "heads": "Heads: what the entropy controller sees and does",
    "policy": "Policy: all heads together",
    "ppo": "PPO: the update",
    "selfplay": "Self-play: games against the league",
    "roles": "Exploiters",
    "env": "Game",
    "eval": "Evaluation: seeded matches against a named opponent",
    "perf": "Speed (depends on the clock and the machine)",
}
"""Group -> heading, in the order in which documentation and reports show them."""

_ANY = "any"

METRICS: tuple[Metric, ...] = (
    Metric(
        "agent_steps",
        "agent-steps",
        "Decisions of agents that the learner controlled, since the start of the run. The axis of every chart",
        "grows to `total_steps`",
        "-",
    ),
    Metric("iteration", "iterations", "Rounds of rollout and update, counted from 1", "grows by 1", "-"),
    Metric(
        "progress",
        "1",
        "min(agent_steps / total_steps, 1): the clock of target schedules, learning rate and reward shaping",
        "0 to 1",
        "-",
    ),
    Metric(
        "heads/<head>/alpha",
        "1",
        "Coefficient of the head's entropy bonus, mean over the updates: clip(exp(log_alpha) + K_P * error, alpha_min, "
        "alpha_max)",
        "inside its bounds, not on the upper one",
        "On alpha_max: lower the target or raise alpha_max. On alpha_min: the head is as random as asked without help",
    ),
    Metric(
        "heads/<head>/log_alpha",
        "ln(alpha)",
        "Learned state of the controller; at rest exp(log_alpha) equals alpha",
        "levels out between changes of the target",
        "If it swings, lower gain_integral; if it creeps, raise it",
    ),
    Metric(
        "heads/<head>/entropy",
        "nats",
        "Mean entropy H = sum(w H_i) / sum(w) over the rows where the head mattered; positive means more random. "
        "Differential entropy for continuous heads, so it may be negative",
        "at target_entropy or above (mode floor), at target_entropy (mode track)",
        "See status",
    ),
    Metric(
        "heads/<head>/target_entropy",
        "nats",
        "The target in nats, in the states seen in this iteration",
        _ANY,
        "-",
    ),
    Metric(
        "heads/<head>/capacity",
        "nats",
        "Entropy that the head can reach in these states: mean of log(number of legal actions) for a discrete head, "
        "from the bounds of log_std for a continuous one",
        "well above 0 for a discrete head",
        "Close to 0: the masks leave no choice; check the game's masks, or let the head alone (law: fixed)",
    ),
    Metric(
        "heads/<head>/fraction",
        "1",
        "Normalised entropy: H / capacity for a discrete head, (H - H_min) / (H_ref - H_min) for a continuous one. "
        "0 is deterministic, 1 is as random as possible",
        "within 0.03 of target_fraction, or above it in mode floor",
        "See status",
    ),
    Metric(
        "heads/<head>/target_fraction",
        "1",
        "The head's target now, as a fraction; follows its schedule",
        "0.05 to 0.7 late in training",
        "Near 1 no policy can learn anything with this head; near 0 exploration is over",
    ),
    Metric(
        "heads/<head>/error",
        "1",
        "target_fraction - fraction. Positive: too little entropy",
        "at most 0.03; negative is fine in mode floor",
        "Positive for long while alpha is at its bound: the target cannot be reached, lower it",
    ),
    Metric(
        "heads/<head>/status",
        "name",
        "What the controller says of the head: TRACKING (on target), SLACK (above target by itself, nothing to do), "
        "SATURATED (alpha on its upper bound and still below target), INACTIVE (no state gave it a choice), COLLAPSED "
        "(no entropy left), FIXED (not controlled). A name in metrics.jsonl, its code in TensorBoard",
        "TRACKING, SLACK or FIXED",
        "`headctl inspect` says why and what to change",
    ),
    Metric(
        "heads/<head>/weight",
        "1",
        "Active share: part of the rows in which the head had a real choice, sum(w) / rows",
        "above 0.02",
        "Lower: the head learns from few rows; alpha moves on noise. Check its masks",
    ),
    Metric(
        "heads/<head>/effective_actions",
        "actions",
        "Number of equally likely actions with the same entropy, exp(H); discrete heads",
        "from 1 to legal_actions",
        "Near 1: the head has all but decided; near legal_actions: it draws at random. Move the target",
    ),
    Metric(
        "heads/<head>/legal_actions",
        "actions",
        "Number of legal actions, exp(capacity): its geometric mean over active rows; discrete heads",
        "what the game's masks should leave",
        "Other: check the masks of the game",
    ),
    Metric(
        "heads/<head>/std",
        "1",
        "Standard deviation of every dim with the same entropy, in normalised action units; before the tanh of a "
        "tanh_gaussian head; Gaussian heads",
        "below about 0.7: wider draws are clipped or pressed to the edge",
        "Wider: lower the target; narrower than the actions need: raise it",
    ),
    Metric(
        "heads/<head>/skipped",
        "updates",
        "Updates of this iteration that the controller left out because an entropy, capacity or weight was not finite; "
        "it holds the head's state meanwhile",
        "0",
        "Any other number: the policy produces inf or nan; lower ppo.learning_rate, check the observations",
    ),
    Metric(
        "heads/<head>/beyond_reach",
        "1",
        "Share of updates in which the target was more than the head could reach in the states it met; the controller "
        "then asks for what can be reached",
        "0",
        "Above 0.1: lower the target, or give it as a fraction, which follows the legal actions",
    ),
    Metric(
        "heads/<head>/time_<status>",
        "1",
        "Share of all updates since the start of the run that the head spent in a status: time_tracking, time_slack, "
        "time_saturated, time_inactive, time_collapsed, time_fixed; only those that it can have",
        "time_tracking and time_slack add up to nearly 1",
        "time_saturated above 0.1: the target is out of reach for long stretches, lower it",
    ),
    Metric(
        "heads/<head>/bonus_to_policy_grad",
        "1",
        "Gradient norm of the head's entropy bonus divided by that of the policy loss, both with respect to the head's "
        "outputs, on the first minibatch of the update",
        "below 1 late in training",
        "Above 1 the bonus, not the reward, moves this head: lower its target or alpha_max",
    ),
    Metric(
        "policy/joint_entropy",
        "nats",
        "Entropy of the whole action by the chain rule: the heads that counted after the choices that were drawn, "
        "added up, mean over the rows. Reported, never controlled: a bonus on it would pay for switching "
        "on random heads",
        _ANY,
        "-",
    ),
    Metric(
        "ppo/policy_loss",
        "1",
        "Clipped surrogate, mean over the update: -mean(min(r A, clip(r, 1 - c, 1 + c) A))",
        "small, around 0; it need not fall",
        "-",
    ),
    Metric(
        "ppo/value_loss",
        "return^2",
        "Error of the critic, mean(1/2 (value - return)^2) before value_coef",
        "falls, then moves with the opponents",
        "Growing: lower ppo.learning_rate or check the scale of the rewards",
    ),
    Metric(
        "ppo/entropy_bonus",
        "1",
        "What the controller added to the objective: sum over heads of alpha * mean entropy",
        "small beside 1 (advantages are normalised)",
        "Large: some head's alpha is too high, see heads/<head>/bonus_to_policy_grad",
    ),
    Metric(
        "ppo/rescue_loss",
        "nats",
        "Mean of KL(uniform || pi) of the heads with `rescue: true` that have collapsed, before rescue_coef; it pulls "
        "them back until they have half of their target",
        "0",
        "Above 0 for long: raise ppo.rescue_coef, or give the head a probability_floor",
    ),
    Metric(
        "ppo/approx_kl",
        "nats",
        "Distance of the new policy from the one that played: mean((r - 1) - log r)",
        "0.002 to target_kl",
        "Higher: lower learning_rate or epochs. Near 0: nothing is learned, raise them",
    ),
    Metric(
        "ppo/clip_fraction",
        "1",
        "Share of rows with |r - 1| > clip_coef",
        "0.02 to 0.3",
        "Higher: steps are too large, lower learning_rate or epochs",
    ),
    Metric(
        "ppo/return_mean",
        "return",
        "Running mean of the returns that the critic learns in units of; only with ppo.normalize_values",
        _ANY,
        "-",
    ),
    Metric(
        "ppo/return_std",
        "return",
        "Their running standard deviation: value_loss / return_std^2 is what the update sees; only with "
        "ppo.normalize_values",
        "follows the rewards",
        "-",
    ),
    Metric(
        "ppo/explained_variance",
        "1",
        "1 - Var(return - value) / Var(return): how much of the returns the critic foresees",
        "above 0.3 and rising",
        "At or below 0 for long: the critic is blind; raise value_coef, hidden or num_games",
    ),
    Metric(
        "ppo/grad_norm",
        "1",
        "Norm of the gradient before clipping, mean over the minibatches",
        "same order as max_grad_norm",
        "Far above: most of every step is thrown away, lower learning_rate",
    ),
    Metric("ppo/learning_rate", "1", "Learning rate of this iteration", "> 0", "-"),
    Metric(
        "ppo/updates",
        "minibatches",
        "Minibatch updates in this iteration; below epochs * minibatches when target_kl stopped it early",
        "close to epochs * minibatches",
        "Few: the early stop cuts most of the update, lower learning_rate",
    ),
    Metric(
        "ppo/skipped",
        "minibatches",
        "Minibatch updates of this iteration that were left out because a number was not finite; 1 where the rollout "
        "itself held one and the whole update was left out. faults.jsonl names the terms",
        "0",
        "Any other number: see faults.jsonl; repair the game's observations or rewards, or lower ppo.learning_rate",
    ),
    *SELFPLAY_METRICS,
    Metric(
        "env/exploitability",
        "reward per episode",
        "What a best answer would gain against the policy as it is now, mean over the seats: exact. Only of games that "
        "know it, such as `matrix`; `headctl exploit` gives a lower bound for the others",
        "falls towards 0",
        "It circles: raise the entropy target towards that of the equilibrium",
    ),
    Metric(
        "env/<statistic>",
        "see game",
        "What the game reports of itself since the last iteration. The dogfight's: `docs/dogfight.md`",
        "see game",
        "-",
    ),
    Metric(
        "eval/<pilot>/win_rate",
        "1",
        "wins / (wins + losses) over the match, half of it from each seat; draws are left out",
        "rises; 0.9 against the simple pilots",
        "Falls against one opponent while it rises against others: the agent over-fits to its pool",
    ),
    Metric("eval/<pilot>/win_rate_low", "1", "Lower end of the 95 % Wilson interval of win_rate", _ANY, "-"),
    Metric(
        "eval/<pilot>/win_rate_high",
        "1",
        "Upper end of the 95 % Wilson interval of win_rate",
        "within 0.1 of win_rate_low",
        "Wider: play more games (evaluation.games)",
    ),
    Metric("eval/<pilot>/wins", "games", "Games that the agent won", _ANY, "-"),
    Metric("eval/<pilot>/losses", "games", "Games that the opponent won", _ANY, "-"),
    Metric("eval/<pilot>/draws", "games", "Games that nobody won", "few", "Many: see selfplay/draw_rate"),
    Metric("eval/<pilot>/games", "games", "Games played: wins + losses + draws", "200 or more", "-"),
    Metric(
        "perf/agent_steps_per_s",
        "agent-steps/s",
        "Agent-steps of this iteration divided by its wall time",
        "steady",
        "`headctl bench` says what this machine can do",
    ),
    Metric("perf/elapsed_s", "s", "Wall time in training, over all sittings of the run", _ANY, "-"),
    Metric("perf/rollout_s", "s", "Wall time of the rollout: policy and game", _ANY, "-"),
    Metric(
        "perf/game_s",
        "s",
        "Wall time of the games in the rollout; on a GPU, until their work was handed over",
        "less than policy_s and update_s for a batched game",
        "More: the game is what the training waits for; play more games at once, or make it faster",
    ),
    Metric(
        "perf/policy_s",
        "s",
        "Wall time of the rest of the rollout, rollout_s - game_s: policies of both sides, and storing what they saw",
        _ANY,
        "-",
    ),
    Metric("perf/update_s", "s", "Wall time of the PPO update", _ANY, "-"),
    Metric(
        "perf/rss_mb",
        "MB",
        "Resident memory of the process now (where the system does not tell: its largest so far)",
        "flat after a while",
        "Growing: a leak, please report it",
    ),
    Metric("perf/wall_time", "s", "Time of writing, seconds since 1970 (UTC)", _ANY, "-"),
)

_PLACEHOLDER = re.compile(r"<\w+>")


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[re.Pattern[str], Metric], ...]:
    """Returns one pattern per metric; a placeholder stands for one part of the name (``env/`` takes the rest)."""
    patterns = []
    for metric in METRICS:
        pieces = _PLACEHOLDER.split(metric.name)
        hole = r".+" if metric.name == "env/<statistic>" else r"[^/]+"
        patterns.append((re.compile(hole.join(re.escape(piece) for piece in pieces)), metric))
    return tuple(patterns)


def find_metric(key: str) -> Metric | None:
    """Returns the metric that a key of a record stands for, or ``None`` if nobody documented it."""
    return next((metric for pattern, metric in _patterns() if pattern.fullmatch(key)), None)


def names_in(keys: Iterable[str], group: str) -> list[str]:
    """Returns the heads (or pilots) named in keys such as ``heads/<head>/alpha``, in order of appearance."""
    return list(dict.fromkeys(key.split("/")[1] for key in keys if key.startswith(f"{group}/")))
