"""Findings: why a head is where it is, and what to change. Plain words from plain numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

SHORTFALL_MAX = 0.03
"""A head whose fraction stays within this below its target, on average, is on target."""

_RARE = 0.05
_NOISE = 0.02
"""The controller's own tolerance: a smaller error is measurement noise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence or two about a head, or about the run where ``head`` is empty."""

    level: str
    """``ok``, ``note`` (nothing to do) or ``warning`` (change something)."""
    head: str
    text: str


@dataclass(frozen=True, slots=True)
class HeadReport:
    """One head at the end of the records, and over the whole run."""

    name: str
    law: str
    mode: str
    target: str
    target_fraction: float
    target_entropy: float
    fraction: float
    entropy: float
    capacity: float
    error: float
    alpha: float
    alpha_min: float
    alpha_max: float
    status: str
    status_since: int
    """Agent-steps at which the present status began."""
    status_shares: dict[str, float]
    """Share of the iterations in each status."""
    active_share: float
    """Mean share of rows in which the head had a choice."""
    shortfall: float
    """Mean of max(0, target_fraction - fraction) over the last half of the training."""
    saturated_late: float
    """Share of the last half's iterations in which the head was SATURATED, COLLAPSED or INACTIVE."""
    bonus_to_policy_grad: float
    beyond_reach: float
    """Mean share of the last half's updates whose target was more than the states allowed."""
    skipped: int


def steps_text(steps: float) -> str:
    """Returns a number of agent-steps as people say it: ``850``, ``12.5 k``, ``1.2 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(steps) >= 0.9995 * size:
            return f"{steps / size:.3g} {unit}" if steps < 999.5 * size else f"{steps / size:.0f} {unit}"
    return f"{steps:.0f}"


def explain_head(head: HeadReport) -> list[Finding]:
    """Says why a head has its status, and what to change where something should be."""
    if head.status == "FIXED":
        level = f", its entropy fraction is {head.fraction:.2f}" if not math.isnan(head.fraction) else ""
        return [Finding("note", head.name, f"FIXED: alpha is {head.alpha:.3g} by law {head.law}, no target{level}.")]
    reasons = {"INACTIVE": _inactive, "SATURATED": _saturated, "COLLAPSED": _collapsed, "SLACK": _slack}
    explain = reasons.get(head.status, _tracking)
    findings = [explain(head)]
    if head.shortfall > SHORTFALL_MAX:
        findings.append(_fell_short(head))
    passed = {name: share for name, share in head.status_shares.items() if name != head.status and share >= 0.1}
    for name in ("SATURATED", "COLLAPSED", "INACTIVE"):
        if name in passed:
            text = f"was {name} in {passed[name]:.0%} of the iterations, no longer now."
            findings.append(Finding("note", head.name, text))
    if head.beyond_reach >= 0.1 and head.status != "SATURATED":
        text = f"in {head.beyond_reach:.0%} of the updates its target was more than the states it met allow; lower it."
        findings.append(Finding("note", head.name, text))
    if head.skipped:
        text = (
            f"{head.skipped} updates had an entropy that was not finite and were left out; lower "
            "ppo.learning_rate, and "
            "check that the game's observations are finite and of order 1."
        )
        findings.append(Finding("warning", head.name, text))
    if head.bonus_to_policy_grad > 1.0:
        text = (
            f"over the last half its entropy bonus pulled {head.bonus_to_policy_grad:.1f} times as hard as the "
            "policy "
            f"gradient: the bonus, not the reward, moves this head. Lower heads.{head.name}.target."
        )
        findings.append(Finding("warning", head.name, text))
    return findings


def _since(head: HeadReport) -> str:
    return f"{head.status} since step {steps_text(head.status_since)}"


def _tracking(head: HeadReport) -> Finding:
    if math.isnan(head.fraction):
        return Finding("note", head.name, "nothing was measured in the last iteration.")
    if head.error > SHORTFALL_MAX:
        text = (
            f"TRACKING, {head.error:.2f} below its target {head.target_fraction:.2f} at the moment; alpha "
            f"{head.alpha:.3g} is "
            "inside its bounds and still at work."
        )
        return Finding("note", head.name, text)
    text = f"TRACKING: fraction {head.fraction:.2f} at target {head.target_fraction:.2f}, alpha {head.alpha:.3g}."
    return Finding("ok", head.name, text)


def _slack(head: HeadReport) -> Finding:
    text = (
        f"{_since(head)}: more random than its target by itself ({head.fraction:.2f} > "
        f"{head.target_fraction:.2f}), so alpha "
        f"rests at its floor {head.alpha_min:.3g}. Mode floor leaves it alone; to press it down say mode: track."
    )
    return Finding("ok", head.name, text)


def _inactive(head: HeadReport) -> Finding:
    text = (
        f"{_since(head)}: no state gave it a choice (its masks left one legal action, or its weights were zero), "
        "so its "
        f"alpha is held at {head.alpha:.3g}. Check the game's masks, or set law: fixed if that is meant."
    )
    return Finding("warning", head.name, text)


def _collapsed(head: HeadReport) -> Finding:
    text = (
        f"{_since(head)}: all but deterministic (fraction {head.fraction:.2f}, target "
        f"{head.target_fraction:.2f}); the softmax "
        f"passes hardly any gradient, so alpha {head.alpha:.3g} cannot bring it back. Continue from an earlier "
        "checkpoint with "
        f"a higher heads.{head.name}.alpha_min or a lower ppo.learning_rate."
    )
    return Finding("warning", head.name, text)


def _saturated(head: HeadReport) -> Finding:
    if head.error < 0:
        text = (
            f"{_since(head)}: alpha stands at its lower bound {head.alpha_min:.3g} and fraction "
            f"{head.fraction:.2f} is still "
            f"above target {head.target_fraction:.2f}. Lower heads.{head.name}.alpha_min (-0.1 presses harder) or "
            "raise "
            "the target."
        )
        return Finding("warning", head.name, text)
    text = (
        f"{_since(head)}: alpha stands at its upper bound {head.alpha_max:.3g} and fraction {head.fraction:.2f} "
        "still misses "
        f"target {head.target_fraction:.2f}. {_cause(head)}"
        f"Lower heads.{head.name}.target to about {max(head.fraction, 0.05):.2f}, or raise "
        f"heads.{head.name}.alpha_max."
    )
    return Finding("warning", head.name, text)


def _cause(head: HeadReport) -> str:
    """Names what makes a target hard to reach, where the numbers show it."""
    if head.beyond_reach >= 0.5:
        return f"In {head.beyond_reach:.0%} of the updates it asked for more than the states it met allow. "
    if head.active_share < _RARE:
        return f"Only {head.active_share:.1%} of the rows give it a choice, so its bonus has little to act on. "
    if 0.0 < head.capacity < math.log(1.5):
        return f"Where it has a choice, it has {math.exp(head.capacity):.1f} legal actions on average. "
    return "The reward pulls harder than the bonus may. "


def _fell_short(head: HeadReport) -> Finding:
    stuck = head.saturated_late
    text = f"over the last half of training its fraction lay {head.shortfall:.3f} below its target on average"
    if stuck >= 0.5:
        text += f", because it was saturated, collapsed or inactive in {stuck:.0%} of that time."
    elif math.isnan(stuck) or stuck < _NOISE:
        text += (
            " although alpha stayed inside its bounds: the network follows too slowly. Let the target move more "
            "slowly, or "
            f"raise heads.{head.name}.gain_proportional or ppo.learning_rate."
        )
    else:
        text += f"; it was saturated, collapsed or inactive in {stuck:.0%} of that time."
    return Finding("warning", head.name, text)


def explain_run(means: Mapping[str, float]) -> list[Finding]:
    """Says what stands out in the learning itself.

    Args:
        means: Metric name -> mean over the last half of the training.
    """
    findings = []

    def warn(text: str) -> None:
        findings.append(Finding("warning", "", text))

    variance = means.get("ppo/explained_variance", math.nan)
    if variance < 0.1:
        warn(
            f"the critic foresees {max(variance, 0.0):.0%} of the returns (ppo/explained_variance); raise "
            "ppo.value_coef, "
            "policy.hidden or game.num_games."
        )
    clipped = means.get("ppo/clip_fraction", math.nan)
    if clipped > 0.4:
        warn(f"{clipped:.0%} of the rows were clipped (ppo/clip_fraction): lower ppo.learning_rate or ppo.epochs.")
    draws = means.get("selfplay/draw_rate", math.nan)
    if draws > 0.9:
        warn(f"{draws:.0%} of the games against the pool ended in a draw: the agent does not learn to finish a game.")
    wins = means.get("selfplay/win_rate", math.nan)
    if wins < 0.4:
        warn(f"the agent loses to its own past (selfplay/win_rate {wins:.2f}): raise selfplay.pool_size.")
    return findings
