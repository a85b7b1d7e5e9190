"""``headctl inspect`` and ``headctl plot``: what every head of a run did."""

import time
from pathlib import Path
from typing import Any

import click

from headctl.commands.base import examples, print_json, refusals


@click.command(
    epilog=examples(
        "headctl inspect runs/weapon35",
        "headctl inspect runs/weapon35 --follow",
        "headctl inspect runs/weapon35 --json",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--follow", is_flag=True, help="Go on with a run in progress, until it ends or Ctrl-C.")
@click.option("--every", type=click.FloatRange(min=0.1), default=2.0, help="Seconds between two looks. Default: 2.")
@refusals
def inspect(run: Path, *, as_json: bool, follow: bool, every: float) -> None:
    """Say what every head of RUN did, why, and what to change.

    --follow ends with the training, also where that was stopped; of a run that nobody trains it waits for somebody to.
    """
    from headctl.run import lock, report, report_view  # noqa: PLC0415 - --help must not load it

    console = report_view.make_console()
    shown: list[Any] = []

    def look() -> bool:
        """Shows the run as it is; tells whether it is finished."""
        found = report.build_report(report.RunReader(run))
        if shown == [found.agent_steps]:
            return found.finished
        shown[:] = [found.agent_steps]
        if as_json:
            print_json(found.to_json())
            return found.finished
        if follow and console.is_terminal:
            console.clear()
        console.print(report_view.render_report(found, width=console.width))
        return found.finished

    trained = False
    while not look() and follow:
        held = lock.is_held(run)
        if trained and held is False:
            # What it wrote between the last look and its end.
            if not look():
                click.echo(f"{run}: the training has stopped before its end; headctl train {run} --resume", err=True)
            return
        trained = trained or bool(held)
        time.sleep(every)


@click.command(
    epilog=examples(
        "headctl plot runs/weapon35",
        "headctl plot runs/weapon35 --out pictures",
        "headctl plot runs/my_sweep/* --out pictures",
    )
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pictures. Default: RUN/report."
)
@refusals
def plot(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw RUN as PNG: entropy against target, alpha and status of every head; win rates and the game's statistics.

    Several runs are compared in one picture: those that differ in their seeds only are one line, with a band from the
    smallest to the largest value. Folders that are no runs are left out then, and --out says where the picture goes.
    """
    from headctl.run import report  # noqa: PLC0415 - --help must not load it

    if len(runs) == 1:
        from headctl.run import plots  # noqa: PLC0415 - matplotlib takes a second to load

        for path in plots.write_plots(report.RunReader(runs[0]), out):
            click.echo(path)
        return
    if out is None:
        raise click.UsageError("several runs are compared in one picture: say with --out which folder it goes to")
    from headctl.run import compare  # noqa: PLC0415 - matplotlib takes a second to load
    from headctl.run.folder import is_run_folder  # noqa: PLC0415 - with it

    known = [run for run in runs if is_run_folder(run) or not run.exists()]
    if len(known) < 2:
        raise click.UsageError(f"a comparison needs two runs; of the {len(runs)} folders named {len(known)} is a run")
    click.echo(compare.write_comparison([report.RunReader(run) for run in known], out))
