"""The command line. Commands load what they need when they run: ``headctl --help`` loads click alone.

Exit codes: 0 done, 2 usage or configuration (one message, no traceback), 1 crash, 130 interrupted (after saving).
"""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headctl import __version__
from headctl.commands.base import Commands, Refused, examples, greedy_option, only_overrides, print_json, refusals
from headctl.commands.bench import bench
from headctl.commands.config import config
from headctl.commands.exploit import exploit
from headctl.commands.lists import envs, runs
from headctl.commands.look import inspect, plot
from headctl.commands.replay import replay
from headctl.commands.report import report
from headctl.commands.sweep import sweep
from headctl.commands.tournament import league, tournament

if TYPE_CHECKING:
    from headctl.run.config import RunConfig

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    cls=Commands,
    context_settings=_CONTEXT,
    epilog=examples(
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
    epilog=examples(
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
@refusals
def train(source: str, overrides: tuple[str, ...], name: str | None, *, resume: bool, force: bool) -> None:
    """Train the agent that the YAML file CONFIG describes, or continue the run RUN.

    Any key of the file can be set on the command line, in YAML: ppo.epochs=3 or
    'heads.weapon.target={schedule: linear, start: 0.8, end: 0.3}'.

    Ctrl-C saves a checkpoint and ends after the current iteration; a second one ends at once.

    Several processes share one training where torchrun starts them: torchrun --nproc-per-node 2 -m headctl train ...
    """
    begin = partial(_begin, source, overrides, name, resume=resume, force=force)
    if os.environ.get("WORLD_SIZE", "1") == "1":
        config, run_dir = begin()
        from headctl.run import report_view, session  # noqa: PLC0415 - loads torch

        sys.exit(session.train(config, run_dir, report_view.make_console(), resume=resume))
    from headctl.run import report_view, session  # noqa: PLC0415 - loads torch

    sys.exit(session.train_together(begin, report_view.make_console(), resume=resume))


def _begin(
    source: str, overrides: tuple[str, ...], name: str | None, *, resume: bool, force: bool, processes: int = 1
) -> tuple["RunConfig", Path]:
    """Returns the configuration of what shall be trained, and its folder, which is made for a new run."""
    from headctl.run import folder  # noqa: PLC0415 - --help must not load it

    only_overrides(overrides)
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
    from headctl.run import session, together  # noqa: PLC0415 - loads torch

    session.check_device(config)
    together.check_together(config, processes)
    if not resume:
        folder.create_run_folder(run_dir, config, ["headctl", *sys.argv[1:]], force=force)
    return config, run_dir


def _run_name(name: str | None, stem: str, seed: int) -> str:
    """Returns the name of a new run's folder."""
    if name is None:
        # Local time is what the user's clock says; the name is for the user.
        return f"{stem}_s{seed}_{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    if not name.strip() or name in {".", ".."} or set(name) & set("/\\\0"):
        raise click.BadParameter(f"{name!r} is no name of a folder; run.dir says where it goes", param_hint="--name")
    return name


def _run_to_resume(source: Path, overrides: Sequence[str], name: str | None) -> tuple[Path, "RunConfig"]:
    """Returns folder and configuration of the run that ``--resume`` means."""
    from headctl.run import changes, config, folder  # noqa: PLC0415 - --help must not load it

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
        key = override.partition("=")[0].strip()
        if not changes.may_change(key):
            raise Refused(
                f"{key} cannot change while a run is resumed, or it would be another run. "
                f"Allowed: {changes.may_change_text()}"
            )
    return run_dir, config.load_config(run_dir / folder.CONFIG_FILE, overrides)


main.add_command(inspect)
main.add_command(plot)


@main.command(
    "eval",
    epilog=examples(
        "headctl eval runs/weapon35",
        "headctl eval runs/weapon35 --against pursuit --games 400",
        "headctl eval runs/weapon35 --against runs/weapon35@5000000 --greedy",
        "headctl eval runs/weapon35 --against runs/weapon20 --json",
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--against", multiple=True, metavar="PLAYER", help="Opponent; may be repeated. Default: every pilot.")
@click.option("--games", type=click.IntRange(min=2), help="Games of each match. Default: evaluation.games of the run.")
@greedy_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def evaluate(run: Path, against: tuple[str, ...], games: int | None, *, greedy: bool | None, as_json: bool) -> None:
    """Play seeded matches of RUN's newest agent, half of the games from each seat.

    PLAYER is a scripted pilot of the game, another run (its newest agent), RUN@STEPS (a checkpoint or snapshot of it),
    or a file in a run's checkpoints/ or league/.
    """
    from headctl.run import arena as matches_of  # noqa: PLC0415 - loads torch
    from headctl.run import report, report_view  # noqa: PLC0415 - with it

    arena = matches_of.Arena(run, greedy=greedy)
    results = {label: arena.play(opponent, games) for label, opponent in arena.opponents(against).items()}
    for label, result in results.items():
        report.write_evaluation(run, label, {label: result}, arena.agent_steps)
    matches = {label: (arena.agent_steps, result) for label, result in results.items()}
    if as_json:
        print_json({label: report.match_to_json(result) for label, result in results.items()})
        return
    report_view.make_console().print(report_view.evaluation_table(matches))


main.add_command(tournament)
main.add_command(league)
main.add_command(exploit)
main.add_command(config)


@main.command(
    epilog=examples(
        "headctl explain configs/dogfight_1v1.yaml",
        "headctl explain configs/dogfight_1v1.yaml heads.weapon.target=0.1 heads.weapon.unit=epsilon",
    )
)
@click.argument("source", metavar="CONFIG|RUN")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--actions", multiple=True, type=click.IntRange(min=1), help="Legal actions to assume; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@refusals
def explain(source: str, overrides: tuple[str, ...], actions: tuple[int, ...], *, as_json: bool) -> None:
    """Say what every head's target in CONFIG amounts to, in every unit, and warn where it makes no sense."""
    from headctl.entropy.explain import explain as explain_head  # noqa: PLC0415 - --help must not load it
    from headctl.run import config as configuration  # noqa: PLC0415 - with it

    only_overrides(overrides)
    path = Path(source)
    resolved = configuration.load_config(path / "config.yaml" if path.is_dir() else path, overrides)
    specs = configuration.head_specs(resolved)
    explanations = [each for spec in specs for each in explain_head(spec, actions)]
    if as_json:
        print_json([each.to_json() for each in explanations])
        return
    from headctl.run import report_view  # noqa: PLC0415 - with it

    console = report_view.make_console()
    console.print(report_view.explanation_table(explanations))
    for spec in specs:
        if spec.alpha is not None:
            console.print(f"{spec.name}: no target, law {spec.law} prescribes alpha: {spec.alpha.to_value()}")


main.add_command(report)
main.add_command(sweep)
main.add_command(replay)
main.add_command(runs)
main.add_command(envs)
main.add_command(bench)


if __name__ == "__main__":
    main()
