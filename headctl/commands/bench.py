"""``headctl bench``: what this machine does, and the laws of the controller against each other."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from headctl.commands.base import examples, print_json, refusals
from headctl.messages import unknown_name

_BENCHES = ("env", "train", "controller")
_ON_REQUEST = ("pilots", "missiles", "opponents", "memory")
_LABORATORY = "control"
_PEERS = "peers"
_CARTPOLE = "cartpole"
_ALL = (*_BENCHES, *_ON_REQUEST, _PEERS, _CARTPOLE, _LABORATORY)


@click.command(
    epilog=examples(
        "headctl bench",
        "headctl bench train --config my.yaml ppo.epochs=3",
        "headctl bench peers",
        "headctl bench peers --trainers cleanrl,sb3 --routes batched",
        "headctl bench control --laws pi,dual --seeds 2",
        "headctl bench control --plots pictures",
    )
)
@click.argument(
    "words",
    nargs=-1,
    metavar="[env|train|controller|pilots|missiles|opponents|memory|peers|cartpole|control]... [KEY=VALUE]...",
)
@click.option("--config", "source", help="YAML file that names game and sizes. Default: every key at its default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--trainers", default="", help="peers: headctl,cleanrl,sb3,pufferlib,torchrl. Default: all.")
@click.option("--routes", default="", help="peers: batched,pettingzoo. Default: both.")
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, help="peers: rounds of all. Default: 3.")
@click.option("--workers", type=click.IntRange(0), default=1, help="peers: game.workers of headctl. Default: 1.")
@click.option(
    "--seeds", type=click.IntRange(1, 20), help="control, cartpole: runs of everything. Default: 5, 3 with --tuning."
)
@click.option("--iterations", type=click.IntRange(20), default=400, help="control: length of a run. Default: 400.")
@click.option("--laws", default="", help="control: laws or contestants, separated by commas. Default: all.")
@click.option("--courses", default="", help="control: courses of the targets, separated by commas. Default: all.")
@click.option("--tuning", is_flag=True, help="control: the sweep of bounded duals, on seeds of its own.")
@click.option("--processes", type=click.IntRange(1), default=2, help="control: how many at a time. Default: 2.")
@click.option("--markdown", "as_markdown", is_flag=True, help="control: print the tables as Markdown.")
@click.option("--plots", type=click.Path(path_type=Path, file_okay=False), help="control: only draw, into this folder.")
@refusals
def bench(
    words: tuple[str, ...],
    source: str | None,
    *,
    as_json: bool,
    trainers: str,
    routes: str,
    repetitions: int,
    workers: int,
    **control: Any,
) -> None:
    """Measure this machine: the game alone, the whole training, the controller. Or the laws of the controller.

    Every figure is the median of five repetitions, with the smallest and the largest beside it.

    env has the dogfight of PyFlyt and a loop of JSBSim in the same run, where these are installed.

    pilots plays the game's scripted opponents against each other, both seats: up to an hour. missiles tells how often
    one hits, by range, aspect and what the target does. Both run only when they are named.

    opponents gives the cost of a decision of 1, 4, 16 and 64 different frozen opponents, all in one call, in 256 to
    4096 games. memory trains with and without a recurrent policy, in turn.

    peers trains with headctl and with whichever other libraries are installed, in turn: same game, network and batch,
    through the batched game and through PettingZoo. Minutes; it stands alone.

    cartpole counts the decisions that it takes to solve CartPole-v1, with headctl and with the structure of CleanRL's
    ppo.py; it stands alone.

    control runs the laws of alpha against each other in closed loop, on a small task with three heads: how well each
    holds its targets, how it comes back from one out of reach. It takes minutes to hours.
    """
    wanted = [word for word in words if "=" not in word]
    for word in wanted:
        if word not in _ALL:
            raise click.UsageError(unknown_name("benchmark", word, _ALL))
    if _LABORATORY in wanted:
        _bench_control(words, as_json=as_json, **control)
        return
    from headctl.run import config as configuration  # noqa: PLC0415 - --help must not load it

    if _CARTPOLE in wanted:
        _bench_cartpole(words, seeds=control["seeds"] or 5, as_json=as_json)
        return
    overrides = [word for word in words if "=" in word]
    if _PEERS in wanted:
        _bench_peers(
            wanted,
            source,
            overrides,
            as_json=as_json,
            trainers=trainers,
            routes=routes,
            repetitions=repetitions,
            workers=workers,
        )
        return
    resolved = configuration.load_config(source, overrides) if source else configuration.parse_config("", overrides)
    from headctl.run import bench as benchmarks  # noqa: PLC0415 - loads torch
    from headctl.run import bench_memory, bench_missiles, bench_others, report_view  # noqa: PLC0415 - with it

    machine = benchmarks.machine(resolved)
    measures: dict[str, Callable[[], list[benchmarks.Figure]]] = {
        "env": lambda: [
            *benchmarks.bench_env(resolved),
            *benchmarks.bench_face(resolved),
            *bench_others.bench_others(resolved),
        ],
        "train": lambda: benchmarks.bench_train(resolved),
        "controller": lambda: benchmarks.bench_controller(resolved),
        "pilots": lambda: benchmarks.bench_pilots(resolved),
        "opponents": lambda: benchmarks.bench_opponents(resolved),
        "missiles": lambda: bench_missiles.bench_missiles(resolved),
        "memory": lambda: bench_memory.bench_memory(resolved),
    }
    figures = [figure for name, measure in measures.items() if name in (wanted or _BENCHES) for figure in measure()]
    if as_json:
        rows = [{"name": f.name, "unit": f.unit, "median": f.median, "values": list(f.values)} for f in figures]
        print_json({"machine": machine, "figures": rows})
        return
    rows = [(figure.name, figure.unit, figure.median, figure.values) for figure in figures]
    report_view.make_console().print(report_view.figure_table(machine, rows))


def _bench_control(words: Sequence[str], *, as_json: bool, **control: Any) -> None:
    """Runs the controller laboratory."""
    if len(words) > 1:
        raise click.UsageError("control measures the laws, not this machine: it stands alone")
    from headctl.run import report_view  # noqa: PLC0415 - --help must not load it
    from headctl.run.lab.command import run_control  # noqa: PLC0415 - loads torch

    found = run_control(report_view.make_console(stderr=as_json), as_json=as_json, **control)
    if found is not None:
        print_json(found)


def _bench_peers(
    wanted: Sequence[str], source: str | None, overrides: Sequence[str], *, as_json: bool, **choices: Any
) -> None:
    """Runs the comparison with other trainers."""
    if len(wanted) > 1:
        raise click.UsageError("peers compares trainers with each other: it stands alone")
    from headctl.run import config as configuration  # noqa: PLC0415 - --help must not load it
    from headctl.run import report_view  # noqa: PLC0415 - as above
    from headctl.run.peers import command  # noqa: PLC0415 - loads torch

    resolved = (
        configuration.load_config(source, overrides)
        if source
        else configuration.parse_config("", [*command.DEFAULTS, *overrides])
    )
    found = command.run_peers(report_view.make_console(stderr=as_json), resolved, as_json=as_json, **choices)
    if found is not None:
        print_json(found)


def _bench_cartpole(words: Sequence[str], *, seeds: int, as_json: bool) -> None:
    """Solves CartPole with headctl and with the structure of CleanRL."""
    if len(words) > 1:
        raise click.UsageError("cartpole is a fixed task: it stands alone")
    from headctl.run import report_view  # noqa: PLC0415 - --help must not load it
    from headctl.run.peers import cartpole  # noqa: PLC0415 - loads torch

    console = report_view.make_console(stderr=as_json)
    with console.status("") as status:
        found = cartpole.race(range(1, seeds + 1), cartpole.CLEANRL_STEPS, status.update)
    if as_json:
        print_json(found.plain())
        return
    console.print(found.table())
