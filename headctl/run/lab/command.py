"""What ``headctl bench control`` does: chooses contestants, runs the studies, prints tables or draws pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from headctl.messages import unknown_name
from headctl.run.lab import study, view
from headctl.run.lab.contestants import CONTESTANTS, COURSES
from headctl.run.lab.markdown import markdown_tables
from headctl.run.lab.study import Plan

STRONGEST_BOUNDED_DUALS = ("dual adam 10 bounded", "dual sgd 10 bounded")
"""Chosen on the tuning seeds: see docs/controller-laboratory.md."""


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class LabError(ValueError):
    """A contestant or a course that does not exist. One line."""


def chosen(laws: Sequence[str], *, tuning: bool) -> list[str]:
    """Returns the names of the contestants that take part.

    Args:
        laws: Laws (``pi``, ``dual``, ``fixed``, ``decay``) or names of contestants; none: all.
        tuning: Whether the sweep of bounded duals runs instead of the contestants of the reported table.

    Raises:
        LabError: A law or contestant that does not exist.
    """
    known = {contestant.law for contestant in CONTESTANTS.values()} | set(CONTESTANTS)
    for law in laws:
        if law not in known:
            raise LabError(f"--laws: {unknown_name('law or contestant', law, known)}")
    taking_part = [
        contestant
        for contestant in CONTESTANTS.values()
        if tuning or not contestant.swept or contestant.name in STRONGEST_BOUNDED_DUALS or contestant.name in laws
    ]
    return [one.name for one in taking_part if not laws or {one.name, one.law} & set(laws)]


def run_control(
    console: Console,
    *,
    laws: str,
    courses: str,
    seeds: int | None,
    iterations: int,
    processes: int,
    tuning: bool,
    plots: Path | None,
    as_json: bool,
    as_markdown: bool = False,
) -> dict[str, Any] | None:
    """Runs the laboratory.

    Args:
        console: Where progress and tables go.
        laws: As in :func:`chosen`, separated by commas.
        courses: Names of courses, separated by commas; none: all.
        seeds: How many runs of everything; ``None``: 5, or 3 for a sweep.
        iterations: Length of every run.
        processes: How many run at a time.
        tuning: Sweep the bounded duals on the tuning seeds.
        plots: Draw the pictures into this folder, and do nothing else.
        as_json: Return rows instead of printing tables.
        as_markdown: Print the tables as Markdown.

    Returns:
        With ``as_json`` the rows, or the files that were drawn, as plain data.

    Raises:
        LabError: A contestant or a course that does not exist.
    """
    taking, names = _words(courses) or list(COURSES), chosen(_words(laws), tuning=tuning)
    for course in taking:
        if course not in COURSES:
            raise LabError(f"--courses: {unknown_name('course', course, COURSES)}")
    own_seeds = study.TUNING_SEEDS[: seeds or 3] if tuning else study.REPORTED_SEEDS[: seeds or 5]
    plan = Plan(names, own_seeds, iterations, processes)
    if plots is not None:
        from headctl.run.lab import pictures  # noqa: PLC0415 - matplotlib takes a second to load

        files = [str(path) for path in pictures.write_pictures(plots, plan)]
        if as_json:
            return {"files": files}
        console.print("\n".join(files))
        return None
    with console.status("") as status:

        def step(what: str) -> Plan:
            def told(finished: int, total: int) -> None:
                status.update(f"{what}: {finished} of {total} runs")

            told(0, 0)
            return plan._replace(told=told)

        tracking = study.track(step("holding targets"), tuple(taking))
        recovery = study.recover(step("recovery"))
        scales = [] if tuning or "pi floor" not in names else study.scale(step("reward scales"))
    if as_json:
        rows = {"tracking": tracking, "recovery": recovery, "reward_scale": scales}
        setting = {"seeds": list(own_seeds), "iterations": iterations}
        return setting | {name: study.as_json(found) for name, found in rows.items()}
    if as_markdown:
        # As it is: a console would break the lines.
        console.file.write(markdown_tables(tracking, recovery, scales))
        return None
    console.print(f"seeds {own_seeds[0]} to {own_seeds[-1]}, {iterations} iterations, courses {', '.join(taking)}")
    console.print(view.tracking_table(tracking))
    if recovery:
        console.print(view.recovery_table(recovery))
    if scales:
        console.print(view.scale_table(scales))
    return None
