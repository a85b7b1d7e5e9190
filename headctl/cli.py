"""The command line. Commands load what they need when they run: ``headctl --help`` loads click alone.

Exit codes: 0 done, 2 usage or configuration (one message, no traceback), 1 crash, 130 interrupted (after saving).
"""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from headctl import __version__
from headctl.messages import closest, unknown_name

if TYPE_CHECKING:
    from headctl.run.config import RunConfig

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """Something that the user can put right: one message on stderr, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Prints the message."""
        click.echo(f"headctl: {self.message}", err=True, file=file)


class Commands(click.Group):
    """A group that says which command was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command named first.

        Raises:
            click.UsageError: There is none of that name.
        """
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = closest(name, self.commands)
            meant = f" Did you mean {hint!r}?" if hint else ""
            ctx.fail(f"no such command: {name!r}.{meant} Commands: {', '.join(self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the commands in the order in which a user meets them, not by alphabet."""
        return list(self.commands)


def _refusals(command: Callable[P, R]) -> Callable[P, R]:
    """Turns the errors that a user can put right into :class:`Refused`, and Ctrl-C into exit code 130."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            click.echo("headctl: interrupted", err=True)
            sys.exit(130)
        except ValueError as error:
            if not _is_refusal(error):
                raise
            raise Refused(str(error)) from error

    return run


def _is_refusal(error: ValueError) -> bool:
    """Tells errors with a message for the user from bugs, without loading the modules that define them."""
    user_errors = {
        "ConfigError",
        "RunFolderError",
        "CheckpointError",
        "MetricsError",
        "GameError",
        "HeadSpecError",
        "LabError",
    }
    own = [kind for kind in type(error).__mro__ if kind.__module__.startswith("headctl")]
    return any(kind.__name__ in user_errors for kind in own)


def _examples(*lines: str) -> str:
    """Returns the examples that a command's help ends with."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    cls=Commands,
    context_settings=_CONTEXT,
    epilog=_examples(
        "headctl train configs/dogfight_1v1.yaml seed=3 heads.weapon.target=0.35 --name weapon35",
        "headctl inspect runs/weapon35",
    ),
)
@click.version_option(__version__, "-V", "--version", prog_name="headctl")
def main() -> None:
    """Train self-play agents whose action heads each have an entropy target and a learned temperature of their own."""
    # A game of one's own may lie in the current folder, where `python -m` would find it and a console script does not.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


@main.command(
    epilog=_examples(
        "headctl train configs/dogfight_1v1.yaml",
        "headctl train configs/dogfight_1v1.yaml seed=3 heads.weapon.target=0.35 --name weapon35",
        "headctl train runs/weapon35 --resume",
    )
)
@click.argument("source", metavar="CONFIG|RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--name", help="Name of the run's folder. Default: <config>_s<seed>_<date>-<time>.")
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint, with the run's own configuration.")
@click.option("--force", is_flag=True, help="Delete a run of that name and start anew.")
@_refusals
def train(source: str, overrides: tuple[str, ...], name: str | None, *, resume: bool, force: bool) -> None:
    """Train the agent that the YAML file CONFIG describes, or continue the run RUN.

    Any key of the file can be set on the command line, in YAML: ppo.epochs=3 or
    'heads.weapon.target={schedule: linear, start: 0.8, end: 0.3}'.

    Ctrl-C saves a checkpoint and ends after the current iteration; a second one ends at once.
    """
    from headctl.run import folder  # noqa: PLC0415 - --help must not load it

    _only_overrides(overrides)
    if resume and force:
        raise click.UsageError("--resume continues a run, --force deletes it: choose one of them")
    if resume:
        run_dir, config = _run_to_resume(Path(source), overrides, name)
    else:
        if folder.is_run_folder(Path(source)):
            raise Refused(f"{source} is a run; continue it with --resume, or name a configuration file to start anew")
        from headctl.run.config import load_config  # noqa: PLC0415 - --help must not load it

        config = load_config(source, overrides)
        run_dir = Path(config.run.dir) / _run_name(name, Path(source).stem, config.seed)
        folder.check_free(run_dir, force=force)
    from headctl.run import report_view, session  # noqa: PLC0415 - loads torch

    session.check_device(config)
    if not resume:
        folder.create_run_folder(run_dir, config, ["headctl", *sys.argv[1:]], force=force)
    sys.exit(session.train(config, run_dir, report_view.make_console(), resume=resume))


def _only_overrides(words: Sequence[str]) -> None:
    for word in words:
        if "=" not in word:
            raise click.UsageError(f"{word!r} is neither an option nor an override: write key=value, such as seed=3")


def _run_name(name: str | None, stem: str, seed: int) -> str:
    """Returns the name of a new run's folder."""
    if name is None:
        # Local time is what the user's clock says; the name is for the user.
        return f"{stem}_s{seed}_{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if not name.strip() or name in {".", ".."} or set(name) & set("/\\\0"):
        raise click.BadParameter(f"{name!r} is no name of a folder; run.dir says where it goes", param_hint="--name")
    return name


_CHANGEABLE = ("total_steps", "evaluation.", "checkpoint.", "run.threads", "run.tensorboard")


def _run_to_resume(source: Path, overrides: Sequence[str], name: str | None) -> tuple[Path, "RunConfig"]:
    """Returns folder and configuration of the run that ``--resume`` means."""
    from headctl.run import config, folder  # noqa: PLC0415 - --help must not load it

    run_dir = source
    if source.is_file():
        if name is None:
            raise click.UsageError(
                f"--resume needs the run: headctl train runs/NAME --resume (or --name with {source})"
            )
        run_dir = Path(config.load_config(source).run.dir) / name
    elif name is not None:
        raise click.UsageError("--name names a new run; a run that is resumed keeps its name")
    folder.check_run_folder(run_dir)
    for override in overrides:
        if not override.startswith(_CHANGEABLE):
            allowed = ", ".join(f"{key}*" if key.endswith(".") else key for key in _CHANGEABLE)
            raise Refused(
                f"{override.partition('=')[0]} cannot change while a run is resumed, or it would be another run. "
                f"Allowed: {allowed}"
            )
    resolved = config.load_config(run_dir / folder.CONFIG_FILE, overrides)
    if overrides:
        folder.write_config(run_dir, resolved)
    return run_dir, resolved


@main.command(epilog=_examples("headctl inspect runs/weapon35", "headctl inspect runs/weapon35 --json"))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@_refusals
def inspect(run: Path, *, as_json: bool) -> None:
    """Say what every head of RUN did, why, and what to change."""
    from headctl.run import report, report_view  # noqa: PLC0415 - --help must not load it

    found = report.build_report(report.RunReader(run))
    if as_json:
        _print_json(found.to_json())
        return
    console = report_view.make_console()
    console.print(report_view.render_report(found, width=console.width))


@main.command(epilog=_examples("headctl plot runs/weapon35", "headctl plot runs/weapon35 --out pictures"))
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the pictures. Default: RUN/report."
)
@_refusals
def plot(run: Path, out: Path | None) -> None:
    """Draw RUN as PNG: entropy against target, alpha and status of every head; win rates and the game's statistics."""
    from headctl.run import plots, report  # noqa: PLC0415 - matplotlib takes a second to load

    for path in plots.write_plots(report.RunReader(run), out):
        click.echo(path)


@main.command(
    "eval",
    epilog=_examples(
        "headctl eval runs/weapon35",
        "headctl eval runs/weapon35 --against pursuit --games 400",
        "headctl eval runs/weapon35 --against runs/weapon20 --json",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--against", multiple=True, metavar="PILOT|RUN", help="Opponent; may be repeated. Default: every pilot.")
@click.option("--games", type=click.IntRange(min=2), help="Games of each match. Default: evaluation.games of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@_refusals
def evaluate(run: Path, against: tuple[str, ...], games: int | None, *, as_json: bool) -> None:
    """Play seeded matches of RUN's newest agent, half of the games from each seat."""
    from headctl.run import report, report_view, session  # noqa: PLC0415 - loads torch

    arena = session.Arena(run)
    results = {}
    for name, opponent in arena.opponents(against).items():
        results[session.match_label(name)] = arena.play(opponent, games)
    for label, result in results.items():
        report.write_evaluation(run, label, {label: result}, arena.agent_steps)
    matches = {label: (arena.agent_steps, result) for label, result in results.items()}
    if as_json:
        _print_json({label: report.match_to_json(result) for label, result in results.items()})
        return
    report_view.make_console().print(report_view.evaluation_table(matches))


@main.command(
    epilog=_examples(
        "headctl config configs/dogfight_1v1.yaml",
        "headctl config configs/dogfight_1v1.yaml --show heads.weapon.target=0.35",
    )
)
@click.argument("source", metavar="CONFIG")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--check", "mode", flag_value="check", default="check", help="Check the file against the game (default).")
@click.option("--show", "mode", flag_value="show", help="Print the resolved configuration, every default included.")
@_refusals
def config(source: str, overrides: tuple[str, ...], mode: str) -> None:
    """Check the YAML file CONFIG without running anything, or show what it resolves to."""
    from headctl.run import config as configuration  # noqa: PLC0415 - --help must not load it

    _only_overrides(overrides)
    path = Path(source)
    resolved = configuration.load_config(path / "config.yaml" if path.is_dir() else path, overrides)
    if mode == "show":
        click.echo(configuration.to_yaml(resolved), nl=False)
        return
    heads = ", ".join(resolved.heads)
    click.echo(f"{source}: ok. Game {resolved.game.name}, heads {heads}, {resolved.total_steps:_} agent-steps")


@main.command(
    epilog=_examples(
        "headctl explain configs/dogfight_1v1.yaml",
        "headctl explain configs/dogfight_1v1.yaml heads.weapon.target=0.1 heads.weapon.unit=epsilon",
    )
)
@click.argument("source", metavar="CONFIG|RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--actions", multiple=True, type=click.IntRange(min=1), help="Legal actions to assume; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@_refusals
def explain(source: str, overrides: tuple[str, ...], actions: tuple[int, ...], *, as_json: bool) -> None:
    """Say what every head's target in CONFIG amounts to, in every unit, and warn where it makes no sense."""
    from headctl.entropy.explain import explain as explain_head  # noqa: PLC0415 - --help must not load it
    from headctl.run import config as configuration  # noqa: PLC0415 - with it

    _only_overrides(overrides)
    path = Path(source)
    resolved = configuration.load_config(path / "config.yaml" if path.is_dir() else path, overrides)
    explanations = [each for spec in configuration.head_specs(resolved) for each in explain_head(spec, actions)]
    if as_json:
        _print_json([each.to_json() for each in explanations])
        return
    from headctl.run import report_view  # noqa: PLC0415 - with it

    report_view.make_console().print(report_view.explanation_table(explanations))


_BENCHES = ("env", "train", "controller")
_PILOTS = "pilots"
_LABORATORY = "control"


@main.command(
    epilog=_examples(
        "headctl bench",
        "headctl bench train --config my.yaml ppo.epochs=3",
        "headctl bench control --laws pi,dual --seeds 2",
        "headctl bench control --plots pictures",
    )
)
@click.argument("words", nargs=-1, metavar="[env|train|controller|pilots|control]... [KEY=VALUE]...")
@click.option("--config", "source", help="YAML file that names game and sizes. Default: every key at its default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--seeds", type=click.IntRange(1, 20), help="control: runs of everything. Default: 5, 3 with --tuning.")
@click.option("--iterations", type=click.IntRange(20), default=400, help="control: length of a run. Default: 400.")
@click.option("--laws", default="", help="control: laws or contestants, separated by commas. Default: all.")
@click.option("--courses", default="", help="control: courses of the targets, separated by commas. Default: all.")
@click.option("--tuning", is_flag=True, help="control: the sweep of bounded duals, on seeds of its own.")
@click.option("--processes", type=click.IntRange(1), default=2, help="control: how many at a time. Default: 2.")
@click.option("--plots", type=click.Path(path_type=Path, file_okay=False), help="control: only draw, into this folder.")
@_refusals
def bench(words: tuple[str, ...], source: str | None, *, as_json: bool, **control: Any) -> None:
    """Measure this machine: the game alone, the whole training, the controller. Or the laws of the controller.

    Every figure is the median of five repetitions, with the smallest and the largest beside it.

    pilots plays the game's scripted opponents against each other, both seats: minutes. It runs only when it is named.

    control runs the laws of alpha against each other in closed loop, on a small task with three heads: how well each
    holds its targets, how it comes back from one out of reach. It takes minutes to hours.
    """
    wanted = [word for word in words if "=" not in word]
    for word in wanted:
        if word not in (*_BENCHES, _PILOTS, _LABORATORY):
            raise click.UsageError(unknown_name("benchmark", word, (*_BENCHES, _PILOTS, _LABORATORY)))
    if _LABORATORY in wanted:
        _bench_control(words, as_json=as_json, **control)
        return
    from headctl.run import config as configuration  # noqa: PLC0415 - --help must not load it

    overrides = [word for word in words if "=" in word]
    resolved = configuration.load_config(source, overrides) if source else configuration.parse_config("", overrides)
    from headctl.run import bench as benchmarks  # noqa: PLC0415 - loads torch
    from headctl.run import report_view  # noqa: PLC0415 - with it

    machine = benchmarks.machine()
    measures: dict[str, Callable[[], list[benchmarks.Figure]]] = {
        "env": lambda: benchmarks.bench_env(resolved),
        "train": lambda: benchmarks.bench_train(resolved),
        "controller": benchmarks.bench_controller,
        "pilots": lambda: benchmarks.bench_pilots(resolved),
    }
    figures = [figure for name, measure in measures.items() if name in (wanted or _BENCHES) for figure in measure()]
    if as_json:
        rows = [{"name": f.name, "unit": f.unit, "median": f.median, "values": list(f.values)} for f in figures]
        _print_json({"machine": machine, "figures": rows})
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
        _print_json(found)


def _print_json(content: object) -> None:
    import json  # noqa: PLC0415 - --help must not load it

    click.echo(json.dumps(content, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
