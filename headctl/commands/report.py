"""``headctl report``: a run as one page for the browser."""

from pathlib import Path

import click

from headctl.commands.base import Refused, examples, refusals


@click.command(
    epilog=examples(
        "headctl report runs/weapon35",
        "headctl report runs/weapon35 --against pursuit --seed 7 --out weapon35.html",
        "headctl report runs/weapon35 --no-fights",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default: RUN/report/report.html.")
@click.option(
    "--against",
    multiple=True,
    metavar="PILOT|RUN",
    help="Opponent of a fight; may be repeated. Default: the agent itself, and the pilot that beats it most often.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the fights. Default: 0.")
@click.option("--no-fights", is_flag=True, help="Leave the fights out; loads no torch.")
@refusals
def report(run: Path, *, out: Path | None, against: tuple[str, ...], seed: int, no_fights: bool) -> None:
    """Write RUN as one HTML page: curves of every head, win rates, findings, configuration, and fights in 3-D.

    The page holds everything it needs: it opens offline and can be sent to somebody.
    """
    if no_fights and against:
        raise click.UsageError("--against names the opponent of a fight, --no-fights leaves fights out: choose one")
    if out is not None and not out.parent.is_dir():
        raise Refused(f"--out {out}: there is no folder {out.parent}")
    from headctl.run import html_report  # noqa: PLC0415 - --help must not load it
    from headctl.run.report import RunReader  # noqa: PLC0415 - with it

    reader = RunReader(run)
    stories, why_none = [], "Left out with --no-fights."
    if not no_fights:
        from headctl.run.fights import fights_for  # noqa: PLC0415 - loads torch

        stories, why_none = fights_for(reader, against, seed)
    click.echo(html_report.write_page(reader, stories, out, why_none))
