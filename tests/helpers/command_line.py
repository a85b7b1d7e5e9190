"""The command line from inside of a test."""

from pathlib import Path

from click.testing import CliRunner, Result

from headctl.cli import main

TINY = """
total_steps: 1500
game: {num_games: 16, options: {time_limit_s: 4}}
policy: {hidden: [16]}
ppo: {rollout_steps: 16, epochs: 1, minibatch_size: 128}
evaluation: {games: 4}
run: {tensorboard: false}
"""
"""A dogfight that trains in seconds."""


def headctl(*args: object) -> Result:
    """Runs a command."""
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="headctl")


def refused(*args: object, code: int = 2) -> str:
    """Returns the message of a command that must end with one message on stderr, nothing on stdout, no traceback."""
    result = headctl(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def write_tiny(folder: Path, text: str = TINY) -> Path:
    """Writes a configuration and returns the file."""
    path = folder / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path
