"""What every command of the command line is made of: refusals, examples, and small helpers.

Loads click alone. Exit codes: 0 done, 2 usage or configuration (one message, no traceback), 1 crash, 130 interrupted.
"""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from headctl.messages import closest

P = ParamSpec("P")
R = TypeVar("R")


class Refused(click.ClickException):
    """Something that the user can put right: one message on stderr, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Prints the message."""
        click.echo(f"headctl: {self.message}", err=True, file=file)


class Failed(click.ClickException):
    """Something that broke while it ran and can be said in one message: on stderr, exit code 1."""

    exit_code = 1

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


def refusals(command: Callable[P, R]) -> Callable[P, R]:
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
        except RuntimeError as error:
            if not _is_named(error, {"RunFailedError"}):
                raise
            raise Failed(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise Failed(f"{error.filename}: {error.strerror or error}") from error

    return run


def _is_refusal(error: ValueError) -> bool:
    """Tells errors with a message for the user from bugs, without loading the modules that define them."""
    user_errors = {
        "RunLockError",
        "ConfigError",
        "RunFolderError",
        "CheckpointError",
        "MetricsError",
        "GameError",
        "HeadSpecError",
        "LabError",
        "PeersError",
        "UnequalWorkError",
        "ReplayError",
        "PayoffError",
        "RanksError",
    }
    return _is_named(error, user_errors)


def _is_named(error: Exception, names: set[str]) -> bool:
    own = [kind for kind in type(error).__mro__ if kind.__module__.startswith("headctl")]
    return any(kind.__name__ in names for kind in own)


def examples(*lines: str) -> str:
    """Returns the examples that a command's help ends with."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def only_overrides(words: Sequence[str]) -> None:
    """Refuses words that are no ``key=value``."""
    for word in words:
        if "=" not in word:
            raise click.UsageError(f"{word!r} is neither an option nor an override: write key=value, such as seed=3")


def print_json(content: object) -> None:
    """Prints plain data for machines."""
    import json  # noqa: PLC0415 - --help must not load it

    click.echo(json.dumps(content, indent=2, allow_nan=False))


greedy_option = click.option(
    "--greedy/--drawn",
    default=None,
    help="Agents take their most likely actions, or draw them. Default: evaluation.greedy of the run.",
)
"""For commands that play matches."""
