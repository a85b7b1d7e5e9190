"""``headctl sweep``: every combination of some values, each a run of its own."""

import sys
from pathlib import Path

import click

from headctl.commands.base import examples, only_overrides, print_json, refusals


@click.command(
    epilog=examples(
        "headctl sweep configs/dogfight_1v1.yaml heads.weapon.target=0.1,0.3,0.5 seed=1..5",
        "headctl sweep configs/dogfight_1v1.yaml ppo.learning_rate=3e-4,1e-3 total_steps=2_000_000 --jobs 2",
        "headctl sweep configs/dogfight_1v1.yaml heads.weapon.target=0.1,0.3,0.5 seed=1..5 --dry-run",
    )
)
@click.argument("source", metavar="CONFIG", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, metavar="[KEY=VALUE,VALUE|KEY=1..5]...")
@click.option("--name", help="Name of the sweep's folder. Default: made of CONFIG and the swept keys.")
@click.option("--jobs", type=click.IntRange(1, 1024), default=1, help="Runs at a time, a process each. Default: 1.")
@click.option("--dry-run", is_flag=True, help="Only say what would be trained.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines; progress goes to stderr.")
@refusals
def sweep(source: Path, words: tuple[str, ...], *, name: str | None, jobs: int, dry_run: bool, as_json: bool) -> None:
    """Train CONFIG with every combination of the values given, one after another, and compare.

    A key with one value is an override of every run. The same command goes on where it was interrupted: finished runs
    are kept, the others continue from their checkpoints. It ends with a table: means over the seeds, 95 % intervals.
    """
    only_overrides(words)
    if name is not None and (not name.strip() or name in {".", ".."} or set(name) & set("/\\\0")):
        raise click.BadParameter(f"{name!r} is no name of a folder; run.dir says where it goes", param_hint="--name")
    from headctl.run import sweep as sweeps  # noqa: PLC0415 - --help must not load it

    runs = sweeps.plan(source, words, name)
    if dry_run:
        if as_json:
            print_json([{"run": str(run.run_dir), "state": run.state, "values": dict(run.values)} for run in runs])
            return
        for run in runs:
            click.echo(f"{run.state:<10} {run.run_dir}")
        return
    from headctl.run import report_view, sweep_runner, sweep_table  # noqa: PLC0415 - rich

    outcome = sweep_runner.train_all(runs, lambda line: click.echo(line, err=as_json), jobs)
    settings = sweep_table.settings_of(runs)
    if as_json:
        found = [
            {"run": str(run.run_dir), "values": dict(run.values), "failed": run.label in outcome.failed} for run in runs
        ]
        print_json({"runs": found, "settings": [setting.to_json() for setting in settings]})
    elif any(setting.runs for setting in settings):
        console = report_view.make_console()
        console.print()
        console.print(sweep_table.sweep_table(settings))
    if outcome.interrupted:
        click.echo("headctl: interrupted; the same command goes on", err=True)
        sys.exit(130)
    sys.exit(1 if outcome.failed else 0)
