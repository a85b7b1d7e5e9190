"""The comparison as tables and as plain data."""

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headctl.run.peers.contest import OWN, Standing
from headctl.run.peers.work import BATCHED, ROUTES, Work
from headctl.run.report_view import make_table

_TITLES = {BATCHED: "Through the batched game", "pettingzoo": "Through PettingZoo"}


def ratio(standing: Standing, standings: Sequence[Standing]) -> float:
    """Returns how many times as fast headctl is as this trainer on its route; NaN where one of them did not run.

    The median of the ratios of the rounds: what slows the machine down slows down both.
    """
    own = [each for each in standings if each.entry.own and each.entry.route == standing.entry.route and each.rates]
    if not own or not standing.rates:
        return math.nan
    ratios = sorted(mine / theirs for mine, theirs in zip(own[0].rates, standing.rates, strict=True))
    middle = len(ratios) // 2
    return ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2.0


def lead(standings: Sequence[Standing], route: str, name: str = OWN[0]) -> float:
    """Returns the ratio of headctl to the fastest other trainer of a route; NaN where there is none.

    Args:
        standings: Everybody's.
        route: The route.
        name: Which of headctl's ways to play on it.
    """
    others = [each for each in standings if each.entry.route == route and not each.entry.own and each.rates]
    own = [each for each in standings if each.entry.route == route and each.entry.name == name]
    if not others or not own:
        return math.nan
    return ratio(max(others, key=lambda each: each.median), own)


def work_lines(work: Work) -> dict[str, str]:
    """Returns what everybody was given to do."""
    rounds = "x".join(str(width) for width in work.hidden)
    return {
        "game": f"{work.game}, {dict(work.options)}, {work.games} games",
        "batch": f"{work.steps} steps, {work.epochs} epochs, minibatches of {work.minibatch}",
        "network": f"{rounds} tanh, shared by policy and value",
    }


def tables(work: Work, standings: Sequence[Standing], machine: dict[str, str]) -> RenderableType:
    """Returns everything that ``headctl bench peers`` prints."""
    caption = "\n".join(f"{key}: {value}" for key, value in {**work_lines(work), **machine}.items())
    parts: list[RenderableType] = []
    for route in ROUTES:
        group = [each for each in standings if each.entry.route == route]
        if not group:
            continue
        parts += [_table(_TITLES[route], group, standings, work), Text()]
        for name in OWN:
            fastest = lead(standings, route, name)
            if not math.isnan(fastest):
                told = f"{name} is {fastest:.2f} times as fast as the fastest other trainer here."
                parts += [Text(told, "bold"), Text()]
    account = next((each.account for each in standings if each.account), None)
    if account is not None:
        parts.append(
            Text(
                f"Everybody did the same in every repetition, counted: {account.agent_steps:_} agent-steps, "
                f"{account.gradient_steps} gradient steps, {account.samples:_} samples."
            )
        )
    return Group(*parts, Text(caption))


def _table(title: str, group: Sequence[Standing], standings: Sequence[Standing], work: Work) -> Table:
    table = make_table(title, "agent-steps/s of training, medians; ceiling: matrix multiplications alone")
    table.add_column("trainer", style="bold")
    table.add_column("by")
    table.add_column("threads", justify="right")
    for column in ("median", "smallest", "largest", "headctl / it", "ceiling", "of it", "GFLOP/s"):
        table.add_column(column, justify="right")
    for each in group:
        if each.missing:
            table.add_row(each.entry.name, Text(f"left out: {each.missing}", "yellow"))
            continue
        bound = each.ceiling
        shown = (f"{value:,.0f}" for value in (each.median, min(each.rates), max(each.rates)))
        limits = (
            (f"{bound.agent_steps_per_s:,.0f}", f"{100 * each.share:.0f} %", f"{bound.gflops:.0f}")
            if bound
            else ("", "", "")
        )
        threads = work.threads if each.entry.own else each.threads
        table.add_row(each.entry.name, each.entry.note, str(threads), *shown, f"{ratio(each, standings):.2f}", *limits)
    return table


def plain(work: Work, standings: Sequence[Standing], machine: dict[str, str]) -> dict[str, Any]:
    """Returns the comparison for machines."""
    rows = []
    for each in standings:
        row: dict[str, Any] = {"trainer": each.entry.name, "route": each.entry.route, "by": each.entry.note}
        if each.missing:
            rows.append(row | {"left_out": each.missing})
            continue
        row |= {
            "agent_steps_per_s": each.median,
            "values": each.rates,
            "ratio": ratio(each, standings),
            "threads": work.threads if each.entry.own else each.threads,
        }
        if each.account:
            row |= {
                "agent_steps": each.account.agent_steps,
                "gradient_steps": each.account.gradient_steps,
                "samples": each.account.samples,
            }
        if each.ceiling:
            row |= {
                "flop_per_agent_step": each.ceiling.flop_per_step,
                "ceiling_gflops": each.ceiling.gflops,
                "ceiling_agent_steps_per_s": each.ceiling.agent_steps_per_s,
                "share_of_ceiling": each.share,
            }
        rows.append(row)
    leads = {
        route: {name: value for name in OWN if not math.isnan(value := lead(standings, route, name))}
        for route in ROUTES
    }
    return {"machine": machine, "work": work_lines(work), "trainers": rows, "lead": leads}
