"""``headctl replay``: a game of a run's agent, to be watched."""

from pathlib import Path

import click

from headctl.commands.base import examples, refusals


@click.command(
    epilog=examples(
        "headctl replay runs/weapon35 --acmi fight.acmi",
        "headctl replay runs/weapon35 --against pursuit --seed 7 --acmi fight.zip.acmi --gif fight.gif",
        "headctl replay runs/weapon35 --side blue --mp4 fight.mp4",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--acmi", type=click.Path(path_type=Path, dir_okay=False), help="Tacview file: .acmi or .zip.acmi.")
@click.option("--gif", type=click.Path(path_type=Path, dir_okay=False), help="Animated picture, at twice the speed.")
@click.option(
    "--mp4", type=click.Path(path_type=Path, dir_okay=False), help="Film of the same; needs the extra headctl[render]."
)
@click.option("--json", "story", type=click.Path(path_type=Path, dir_okay=False), help="The game as plain data.")
@click.option("--against", metavar="PILOT|RUN", help="Opponent. Default: the agent itself.")
@click.option("--side", type=click.Choice(["red", "blue"]), default="red", help="Side of RUN's agent. Default: red.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the start and of all draws. Default: 0.")
@refusals
def replay(
    run: Path,
    *,
    acmi: Path | None,
    gif: Path | None,
    mp4: Path | None,
    story: Path | None,
    against: str | None,
    side: str,
    seed: int,
) -> None:
    """Play a game of RUN's newest agent and write it down, for Tacview and as a picture that moves.

    The aircraft carry what every head decided, its entropy and its alpha: as telemetry in Tacview, as text in the
    picture. The same seed gives the same game and the same files.
    """
    if not (acmi or gif or mp4 or story):
        raise click.UsageError("nothing to write: name a file with --acmi, --gif, --mp4 or --json")
    from headctl.run import replay as replays  # noqa: PLC0415 - loads torch

    told = replays.record(run, against=against, side=side, seed=seed, acmi=acmi, gif=gif, mp4=mp4, story=story)
    click.echo(told.summary)
    for path in told.files:
        click.echo(path)
