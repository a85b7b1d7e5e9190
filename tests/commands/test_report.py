import subprocess
import sys

import pytest
from click.testing import CliRunner

from headctl.cli import main
from tests.helpers.synthetic_run import make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def headctl(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")


def test_the_page_lies_in_the_run_unless_told_otherwise(run, tmp_path):
    assert headctl("report", run).stdout == f"{run}/report/report.html\n"
    assert "There is no checkpoint yet" in (run / "report" / "report.html").read_text(encoding="utf-8")
    out = tmp_path / "mine.html"
    assert headctl("report", run, "--out", out, "--no-fights").stdout == f"{out}\n"
    assert "Left out with --no-fights" in out.read_text(encoding="utf-8")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--no-fights", "--against", "pursuit"], "choose one"),
        (["--out", "nowhere/at/all.html"], "there is no folder nowhere/at"),
        (["--against", "persuit"], "no checkpoint"),
        (["--seed", "-1"], "is not in the range"),
    ],
)
def test_bad_input(run, args, part):
    result = headctl("report", run, *args)
    assert result.exit_code == 2
    assert part in result.stderr
    assert not (run / "report" / "report.html").exists()


def test_without_fights_nothing_heavy_is_loaded(run):
    code = (
        "import sys; from headctl.cli import main\n"
        f"try: main(['report', {str(run)!r}, '--no-fights'], prog_name='headctl')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print('LOADED', sorted({'torch', 'warp', 'gymnasium', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
