import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headctl.cli import main
from tests.helpers.command_line import headctl, refused, write_tiny
from tests.helpers.synthetic_run import make_run

ROOT = Path(__file__).parents[1]


def without_origins(shown):
    """Returns what config --show prints without the comments that tell where each value comes from."""
    return re.sub(r" +# (?:default|line \d+|command line)$", "", shown, flags=re.MULTILINE)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_tiny(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    result = headctl("train", write_tiny(folder), f"run.dir={folder}/runs", "seed=4", "--name", "t", "ppo.epochs=2")
    assert result.exit_code == 0, result.output
    return folder / "runs" / "t", result.stdout


def test_help_names_every_command_and_has_examples():
    page = headctl("--help").stdout
    for command in main.commands:
        assert re.search(rf"^  {command} ", page, re.MULTILINE)
        own = headctl(command, "--help").stdout
        assert f"headctl {command} " in own.partition("Examples:")[2]
    assert headctl("--version").stdout.startswith("headctl")


def test_misspelt_commands_and_flags_get_the_nearest_one():
    assert "Did you mean 'train'?" in refused("trian", "x.yaml")
    assert "Did you mean '--name'?" in refused("train", "x.yaml", "--nmae", "y")
    assert "Commands: train, inspect" in refused("zzz")
    assert "Did you mean 'env'?" in refused("bench", "evn")


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["nope.yaml"], "nope.yaml: no such file"),
        (["."], "is a folder"),
        (["tiny.yaml", "heads.wepon.target=0.3"], "Did you mean 'weapon'?"),
        (["tiny.yaml", "ppo.epoch=3"], "Did you mean 'epochs'?"),
        (["tiny.yaml", "ppo.epochs=many"], "expected a whole number, got 'many'"),
        (["tiny.yaml", "heads.weapon.target=1.2"], "out of reach"),
        (["tiny.yaml", "run.device=cuda:77"], "run.device: 'cuda:77' is not on this machine. Allowed: cpu"),
        (["tiny.yaml", "nonsense"], "write key=value"),
        (["tiny.yaml", "--name", "a/b"], "no name of a folder"),
        (["tiny.yaml", "--name", ".."], "no name of a folder"),
        (["tiny.yaml", "--resume"], "--resume needs the run"),
        (["tiny.yaml", "--resume", "--name", "none"], "no such run folder"),
        (["tiny.yaml", "--resume", "--force"], "choose one of them"),
        (["runs/none", "--resume"], "no such run folder"),
    ],
)
def test_bad_input_of_train_writes_nothing(config, args, part):
    assert part in refused("train", *args)
    assert [path.name for path in config.parent.iterdir()] == ["tiny.yaml"]


def test_an_existing_run_is_refused_with_three_ways_out(config):
    run = make_run(config.parent / "runs" / "taken")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = refused("train", config, "--name", "taken")
    assert all(way in message for way in ("--name", "--resume", "--force"))
    assert "continue it with --resume" in refused("train", run)
    assert "cannot change" in refused("train", run, "--resume", "seed=2")
    assert "keeps its name" in refused("train", run, "--resume", "--name", "x")
    assert "no checkpoint" in refused("train", run, "--resume")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_training_from_the_command_line(trained):
    run, page = trained
    for part in ("maneuver", "weapon", "params", "Matches", "straight", "95 % interval", "Findings", "heads.png"):
        assert part in page
    assert (run / "report" / "heads.png").stat().st_size > 10_000
    shown = without_origins(headctl("config", run, "--show").stdout)
    assert "seed: 4\n" in shown
    assert "epochs: 2\n" in shown


def test_a_finished_run_is_resumed_and_lengthened(trained):
    run, _ = trained
    before = len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    result = headctl("train", run, "--resume", "total_steps=2500")
    assert result.exit_code == 0, result.output
    assert len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) > before
    assert "total_steps: 2500\n" in (run / "config.yaml").read_text(encoding="utf-8")


def test_matches_from_the_command_line(trained):
    run, _ = trained
    result = headctl("eval", run, "--against", "straight", "--against", run, "--games", "4", "--json")
    assert result.exit_code == 0, result.output
    matches = json.loads(result.stdout)
    assert set(matches) == {"straight", "t"}
    assert matches["straight"]["games"] == 4
    assert "95 % interval" in headctl("eval", run, "--against", "random", "--games", "2").stdout
    assert "Did you mean 'pursuit'?" in refused("eval", run, "--against", "persuit")
    assert "is not in the range" in refused("eval", run, "--games", "0")


def test_eval_needs_a_checkpoint(tmp_path):
    assert "no checkpoint" in refused("eval", make_run(tmp_path / "run"))


def test_inspect_and_plot(tmp_path):
    run = make_run(tmp_path / "run")
    assert "SATURATED since step 525 k" in headctl("inspect", run).stdout
    report = json.loads(headctl("inspect", run, "--json").stdout)
    assert [head["name"] for head in report["heads"]] == ["maneuver", "weapon", "params"]
    pictures = headctl("plot", run, "--out", tmp_path / "out").stdout.split()
    assert [Path(picture).name for picture in pictures] == ["heads.png", "learning.png"]
    assert all(Path(picture).stat().st_size > 10_000 for picture in pictures)
    for command in ("inspect", "plot", "eval"):
        assert "no such run folder" in refused(command, tmp_path / "none")
        assert "is no run folder" in refused(command, tmp_path)


def test_config_checks_and_shows(config):
    checked = headctl("config", config).stdout
    assert checked == f"{config}: ok. Game dogfight, heads maneuver, weapon, params, 1_500 agent-steps\n"
    assert headctl("config", config, "--check", "seed=2").exit_code == 0
    shown = headctl("config", config, "--show", "seed=7").stdout
    (config.parent / "again.yaml").write_text(shown, encoding="utf-8")
    assert without_origins(headctl("config", "again.yaml", "--show").stdout) == without_origins(shown)
    assert "seed: 7\n" in without_origins(shown)
    origins = {line.split(":")[0]: line.rpartition("  # ")[2] for line in shown.splitlines()}
    assert (origins["seed"], origins["total_steps"], origins["  gamma"]) == ("command line", "line 2", "default")
    assert "Did you mean 'seed'?" in refused("config", config, "sed=7")


def test_overrides_stand_anywhere_among_the_flags(config):
    orders = (
        ["--show", "seed=7", "ppo.epochs=3"],
        ["seed=7", "--show", "ppo.epochs=3"],
        ["seed=7", "ppo.epochs=3", "--show"],
    )
    pages = {headctl("config", config, *order).stdout for order in orders}
    assert len(pages) == 1
    assert "epochs: 3\n" in without_origins(pages.pop())


def test_a_bug_is_a_traceback_and_exit_code_1(config, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("a bug, not the user's fault")

    monkeypatch.setattr("headctl.run.config.load_config", broken)
    result = headctl("config", config)
    assert result.exit_code == 1
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["train", "--help"],
        ["config", "configs/dogfight_1v1.yaml"],
        ["config", "configs/dogfight_1v1.yaml", "--show"],
        ["config", "--schema"],
        ["envs", "--json"],
        ["runs", "--json", "configs"],
    ],
)
def test_quick_commands_load_nothing_heavy(args):
    heavy = "{'torch', 'warp', 'numpy', 'matplotlib', 'gymnasium', 'tensorboard', 'rich'}"
    light_only = "" if {"config", "envs", "runs"} & set(args[:1]) else " | {'pydantic', 'yaml'}"
    code = (
        "import sys; from headctl.cli import main\n"
        f"try: main({args!r}, prog_name='headctl')\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"print('LOADED', sorted(({heavy}{light_only}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_reading_a_run_loads_no_torch(tmp_path):
    run = make_run(tmp_path / "run")
    code = (
        "import sys; from headctl.cli import main\n"
        f"for command in ('inspect', 'plot'):\n"
        f"    try: main([command, {str(run)!r}], prog_name='headctl')\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "print('LOADED', sorted({'torch', 'warp', 'gymnasium', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_what_cannot_go_on_ends_with_one_message_and_exit_code_1(config):
    command = ("train", config, "game={name: 'tests.faults.broken_games:Raises', num_games: 4}", "--name", "broken")
    result = headctl(*command, "ppo.minibatch_size=16")
    assert result.exit_code == 1
    assert "Raises has raised in game" in result.stderr
    assert "diagnosis.json says more" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "out").write_text("a file, no folder")
    assert "out" in refused("plot", run, "--out", tmp_path / "out" / "deep", code=1)


def test_ctrl_c_saves_and_ends_with_130(config):
    command = [sys.executable, "-m", "headctl.cli", "train", str(config), "--name", "long", "total_steps=50_000_000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=config.parent)
    run = config.parent / "runs" / "long"
    try:
        for _ in range(600):  # until the first record is on disk
            if (
                (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size
            ) or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "interrupted; saved" in output
    assert "Traceback" not in errors
    assert len(list((run / "checkpoints").glob("*.pt"))) == 1


def test_replay(trained, tmp_path):
    run, _ = trained
    result = headctl("replay", run, "--against", "straight", "--seed", "3", "--acmi", tmp_path / "f.acmi")
    assert result.exit_code == 0, result.output
    assert "against straight, seed 3: draw (time) after 4.0 s" in result.stdout
    assert (tmp_path / "f.acmi").read_text(encoding="utf-8").startswith("FileType=text/acmi/tacview\n")


def test_bad_input_of_replay(trained, tmp_path):
    run, _ = trained
    assert "nothing to write" in refused("replay", run)
    assert "must end in .acmi" in refused("replay", run, "--acmi", tmp_path / "f.txt")
    assert "Did you mean 'straight'?" in refused("replay", run, "--acmi", tmp_path / "f.acmi", "--against", "strait")
    assert "no such run folder" in refused("replay", tmp_path / "none", "--acmi", tmp_path / "f.acmi")
    assert list(tmp_path.iterdir()) == []
