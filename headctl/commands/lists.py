"""``headctl runs`` and ``headctl envs``: what there is."""

from pathlib import Path

import click

from headctl.commands.base import examples, print_json, refusals


@click.command(epilog=examples("headctl runs", "headctl runs runs/my_sweep", "headctl runs --json"))
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def runs(folder: Path, *, as_json: bool) -> None:
    """List the runs below FOLDER (default: runs) with state, progress, win rate and the status of every head."""
    from headctl.run import listing  # noqa: PLC0415 - --help must not load it

    found = [listing.summarise_run(run) for run in listing.find_runs(folder)]
    if as_json:
        print_json([each.to_json() for each in found])
        return
    if not found:
        click.echo(f"no run in {folder}; start one with: headctl train CONFIG")
        return
    from headctl.run import list_view  # noqa: PLC0415 - rich
    from headctl.run.report_view import WIDE, make_console  # noqa: PLC0415 - with it

    console = make_console()
    console.print(list_view.runs_table(found, folder, wide=console.width >= WIDE))


@click.command(epilog=examples("headctl envs", "headctl envs my_package.my_game:parallel_env", "headctl envs --json"))
@click.argument("names", nargs=-1, metavar="[GAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def envs(names: tuple[str, ...], *, as_json: bool) -> None:
    """List the games that a configuration can name: their heads and scripted opponents.

    GAME may also be a PettingZoo ParallelEnv of your own, as package.module:function: this says how headctl sees it.
    """
    from headctl.selfplay import catalog  # noqa: PLC0415 - --help must not load it

    games = {name: catalog.describe(name, {}) for name in names or catalog.BUILT_IN}
    if as_json:
        print_json(
            {
                name: {"heads": {head: each.known() for head, each in game.heads.items()}, "pilots": list(game.pilots)}
                for name, game in games.items()
            }
        )
        return
    from headctl.run import list_view  # noqa: PLC0415 - rich
    from headctl.run.report_view import make_console  # noqa: PLC0415 - with it

    make_console().print(list_view.games_table(games))
