"""``headctl tournament`` and ``headctl league``: who beats whom."""

from pathlib import Path

import click

from headctl.commands.base import examples, greedy_option, print_json, refusals


@click.command(
    epilog=examples(
        "headctl tournament runs/weapon35 runs/weapon20 pursuit ace",
        "headctl tournament runs/weapon35@1000000 runs/weapon35@5000000 runs/weapon35 --games 400",
        "headctl tournament pursuit ace gunner --config configs/dogfight_1v1.yaml --json",
    )
)
@click.argument("players", nargs=-1, required=True, metavar="PLAYER PLAYER...")
@click.option("--games", type=click.IntRange(min=2), default=100, help="Games of every pair. Default: 100.")
@click.option("--seed", type=click.IntRange(min=0, max=2**31 - 1), default=1, help="Seed of the games. Default: 1.")
@click.option("--anchor", metavar="PLAYER", help="Who is rated 1000. Default: the first pilot, else the mean.")
@click.option("--config", type=click.Path(path_type=Path), help="Whose game is played. Default: the first run's.")
@greedy_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tournament"),
    help="Folder for tournament.json and tournament.png. Default: tournament.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def tournament(
    players: tuple[str, ...],
    *,
    games: int,
    seed: int,
    anchor: str | None,
    config: Path | None,
    greedy: bool | None,
    out: Path,
    as_json: bool,
) -> None:
    """Have every PLAYER play every other, half of the games from each seat: cross table, ratings, Nash mixture.

    PLAYER is a run (its newest agent), RUN@STEPS (a checkpoint or snapshot of it), a file in a run's checkpoints/ or
    league/, or a scripted pilot of the game.
    """
    from headctl.run import tournament as play  # noqa: PLC0415 - loads torch
    from headctl.run.entrants import Lobby  # noqa: PLC0415 - with it

    names = list(players)
    lobby = Lobby.of(names, config)
    entrants = lobby.entrants(names, greedy=greedy)
    table = play.play_tournament(lobby.make_game, entrants, games=games, seed=seed, anchor=anchor)
    settings = {"game": lobby.config.game.name, "games_per_pair": games + games % 2, "seed": seed}
    files = play.write_tournament(table, out, settings)
    if as_json:
        print_json({**settings, **table.to_json()})
        return
    from headctl.run import tournament_view  # noqa: PLC0415 - rich
    from headctl.run.report_view import make_console  # noqa: PLC0415 - with it

    make_console().print(tournament_view.tournament_tables(table))
    for path in files:
        click.echo(path)


@click.command(
    epilog=examples(
        "headctl league runs/weapon35",
        "headctl league runs/weapon35 --games 100",
        "headctl league runs/weapon35 --json",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--games",
    type=click.IntRange(min=2),
    help="Play so many games of every pair now. Default: the games that the run has in its payoff matrix.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def league(run: Path, games: int | None, *, as_json: bool) -> None:
    """Show the league of RUN: every frozen opponent with rating, games, score, and probability to be drawn.

    The learner is called `latest`; its games are those of training, and fade because the learner changes.
    """
    from headctl.run import league_report  # noqa: PLC0415 - loads torch

    found = league_report.report_league(run, games)
    if as_json:
        print_json(found.to_json())
        return
    from headctl.run import tournament_view  # noqa: PLC0415 - rich
    from headctl.run.report_view import make_console  # noqa: PLC0415 - with it

    make_console().print(tournament_view.league_table(found.table, found.probabilities, found.kinds))
    if not found.table.payoff.has_games:
        click.echo(f"no games yet; have everybody play everybody with: headctl league {run} --games 100")
