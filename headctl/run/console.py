"""The live view of a training: a panel that redraws itself in a terminal, plain lines every few seconds elsewhere."""

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headctl.run.findings import steps_text
from headctl.run.lines import status_name
from headctl.run.metrics import names_in
from headctl.run.report_view import STATUS_STYLES, duration_text, number_text

_BAR_CELLS = 24
_WINDOW = 50
"""Iterations over which speed and win rate are averaged."""


class TrainingView(Protocol):
    """What shows a training while it runs."""

    def update(self, record: Mapping[str, Any]) -> None:
        """Takes in the record of one iteration."""
        ...

    def message(self, text: str) -> None:
        """Says something once, such as a warning or the name of a saved file."""
        ...


class Averages:
    """What a single iteration is too short to say: speed, time left, win rate against the pool."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self._recent: deque[Mapping[str, Any]] = deque(maxlen=_WINDOW)
        self._first: Mapping[str, Any] | None = None
        self._training_s = 0.0

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes in one record."""
        self._recent.append(record)
        if self._first is None:
            self._first = record
        else:
            self._training_s += _number(record, "perf/rollout_s") + _number(record, "perf/update_s")

    def _total(self, key: str) -> float:
        return math.fsum(value for value in (_number(record, key) for record in self._recent) if not math.isnan(value))

    @property
    def speed(self) -> float:
        """Agent-steps per second over the last iterations; ``nan`` before anything is known."""
        speeds = [_number(record, "perf/agent_steps_per_s") for record in self._recent]
        known = [speed for speed in speeds if speed > 0]
        # Iterations are equally long in steps, so their times add up: the harmonic mean.
        return len(known) / math.fsum(1 / speed for speed in known) if known else math.nan

    @property
    def seconds_left(self) -> float:
        """Expected wall time until the end of the training."""
        if not self._recent or not self.speed > 0:
            return math.nan
        steps = max(0.0, self.total_steps - _number(self._recent[-1], "agent_steps"))
        return steps / self.speed + steps * self._other_s_per_step

    @property
    def _other_s_per_step(self) -> float:
        """Wall time per agent-step, since the first record, of what is no training: matches and files."""
        if self._first is None:
            return 0.0
        steps, elapsed = (
            _number(self._recent[-1], key) - _number(self._first, key) for key in ("agent_steps", "perf/elapsed_s")
        )
        other = elapsed - self._training_s
        return other / steps if steps > 0 and other > 0 else 0.0

    def time_shares(self) -> dict[str, float]:
        """Returns the share of wall time in the game, the policies that play it, the update, and all the rest.

        The rest is evaluation, games between members of the league, and checkpoints; it is left out below one percent.
        """
        parts = {part: self._total(f"perf/{part}_s") for part in ("game", "policy", "update")}
        trained = math.fsum(parts.values())
        other = self._other_s_per_step * self.speed * trained  # the training's speed is steps per second trained
        if other > 0.01 * trained:
            parts["other"] = other
        whole = math.fsum(parts.values())
        return {part: seconds / whole for part, seconds in parts.items()} if whole > 0 else {}

    def pool(self) -> tuple[float, float, float]:
        """Returns win rate, draw rate and number of the games against the pool over the last iterations."""
        games = draws = wins = 0.0
        for record in self._recent:
            played = _number(record, "selfplay/games")
            if not played > 0:
                continue
            drawn = _zero(_number(record, "selfplay/draw_rate")) * played
            games, draws = games + played, draws + drawn
            wins += _zero(_number(record, "selfplay/win_rate")) * (played - drawn)
        decided = games - draws
        return (wins / decided if decided > 0 else math.nan, draws / games if games else math.nan, games)


def _number(record: Mapping[str, Any], key: str) -> float:
    value = record.get(key, math.nan)
    return math.nan if isinstance(value, str) else float(value)


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def entropy_bar(fraction: float, target: float, cells: int = _BAR_CELLS, *, ascii_only: bool = False) -> Text:
    """Returns a bar of the fraction with a mark at the target: red where the head falls short, green elsewhere."""
    full, empty, mark = ("#", "-", "|") if ascii_only else ("━", "─", "┃")
    if math.isnan(fraction):
        return Text(empty * cells, "dim")
    filled = round(min(max(fraction, 0.0), 1.0) * cells)
    short = not math.isnan(target) and fraction < target - 0.03
    text = Text(full * filled, "red" if short else "green")
    text.append(empty * (cells - filled), "dim")
    if math.isnan(target):
        return text
    place = min(int(min(max(target, 0.0), 1.0) * cells), cells - 1)
    return Text.assemble(text[:place], (mark, "bold"), text[place + 1 :])


def league_line(record: Mapping[str, Any]) -> str:
    """Returns in a few words how the agent stands in its league: live Elo, rating, exploiters; ``""`` where unknown."""
    parts = []
    elo, rating, low, high = (
        _number(record, f"selfplay/{key}") for key in ("elo", "rating", "rating_low", "rating_high")
    )
    if not math.isnan(elo):
        parts.append(f"Elo {elo:.0f}")
    if not math.isnan(rating):
        parts.append(f"rating {rating:.0f} ({low:.0f} to {high:.0f})")
    parts += [
        f"{role.replace('_', ' ')} {_zero(_number(record, f'roles/{role}/score')):.0%}"
        for role in names_in(record, "roles")
    ]
    return "".join(f", {part}" for part in parts)


class LiveView:
    """A panel for a terminal. :meth:`render` draws the newest record."""

    def __init__(self, console: Console, run: str, total_steps: int, live: Live | None = None) -> None:
        self._console = console
        self._run = run
        self._averages = Averages(total_steps)
        self._record: Mapping[str, Any] = {}
        self._messages: deque[str] = deque(maxlen=3)
        self._live = live

    def attach(self, live: Live) -> None:
        """Names the display that shows this view."""
        self._live = live

    def update(self, record: Mapping[str, Any]) -> None:
        """Takes in the record of one iteration."""
        self._record = record
        self._averages.add(record)
        self._refresh()

    def message(self, text: str) -> None:
        """Shows a line below the tables, until three newer ones have come."""
        self._messages.append(text)
        self._refresh()

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self.render())

    def render(self) -> RenderableType:
        """Returns the panel."""
        if not self._record:
            waiting = Text(f"{self._run}: first iteration (compiling the game takes a few seconds the first time)")
            return Group(waiting, *(Text(message, "yellow") for message in self._messages))
        parts: list[RenderableType] = [self._headline(), self._progress(), Text(), self._heads(), Text(), self._play()]
        parts += [Text(message, "yellow") for message in self._messages]
        return Group(*parts)

    def _headline(self) -> Text:
        shares = self._averages.time_shares()
        times = "  ".join(f"{name} {share:.0%}" for name, share in shares.items())
        iteration = int(_zero(_number(self._record, "iteration")))
        text = Text.assemble(("headctl ", "bold"), (self._run, "bold cyan"), f"  iteration {iteration}")
        return text.append(f"  time: {times}", "dim") if times else text

    def _progress(self) -> Table:
        steps, total = _number(self._record, "agent_steps"), self._averages.total_steps
        grid = Table.grid(padding=(0, 2))
        speed = "-" if math.isnan(self._averages.speed) else f"{self._averages.speed:,.0f}"
        grid.add_row(
            ProgressBar(total=float(total), completed=min(steps, float(total)), width=30),
            Text(f"{min(steps / total, 1.0):.0%}", "bold"),
            f"{steps_text(steps)} of {steps_text(total)} agent-steps",
            Text(f"{speed} agent-steps/s", "cyan"),
            f"{duration_text(self._averages.seconds_left)} left",
        )
        return grid

    def _heads(self) -> Table:
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("head", style="bold", no_wrap=True)
        table.add_column("alpha", justify="right", no_wrap=True)
        ascii_only = self._console.options.ascii_only
        table.add_column(f"entropy against target {'|' if ascii_only else '┃'}", no_wrap=True)
        table.add_column("fraction", justify="right", no_wrap=True)
        table.add_column("target", justify="right", no_wrap=True)
        table.add_column("status", no_wrap=True)
        for head in names_in(self._record, "heads"):
            fraction, target, alpha = (
                _number(self._record, f"heads/{head}/{key}") for key in ("fraction", "target_fraction", "alpha")
            )
            status = status_name(self._record.get(f"heads/{head}/status", math.nan))
            table.add_row(
                head,
                number_text(alpha, 4),
                entropy_bar(fraction, target, ascii_only=ascii_only),
                number_text(fraction),
                number_text(target),
                Text(status or "-", STATUS_STYLES.get(status, "")),
            )
        return table

    def _play(self) -> Text:
        wins, draws, games = self._averages.pool()
        pool = int(_zero(_number(self._record, "selfplay/pool_size")))
        text = Text(f"against the pool of {pool}: ")
        if games:
            text.append("-" if math.isnan(wins) else f"{wins:.0%} won", "bold")
            text.append(f", {draws:.0%} draws in the last {games:.0f} games")
        else:
            text.append("no game yet")
        text.append(league_line(self._record))
        for pilot in names_in(self._record, "eval"):
            rate = _number(self._record, f"eval/{pilot}/win_rate")
            text.append(f"   {pilot} {'-' if math.isnan(rate) else f'{rate:.0%}'}")
        variance = _number(self._record, "ppo/explained_variance")
        kl = _number(self._record, "ppo/approx_kl")
        return text.append(f"   KL {number_text(kl, 4)}  explained variance {number_text(variance, 2)}", "dim")


class PlainView:
    """One line every few seconds, for log files; the first iteration is always shown."""

    def __init__(
        self, console: Console, total_steps: int, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._averages = Averages(total_steps)
        self._every_s = every_s
        self._clock = clock
        self._next = -math.inf
        self._pending: Mapping[str, Any] | None = None

    def update(self, record: Mapping[str, Any]) -> None:
        """Takes in the record of one iteration, and prints a line if the last one is old enough."""
        self._averages.add(record)
        self._pending = record
        if self._clock() >= self._next:
            self.flush()

    def message(self, text: str) -> None:
        """Prints the text."""
        self._console.print(Text(text), soft_wrap=True)

    def flush(self) -> None:
        """Prints the newest record if it was not printed yet."""
        if self._pending is None:
            return
        self._console.print(Text(self._line(self._pending)), soft_wrap=True)
        self._pending = None
        self._next = self._clock() + self._every_s

    def _line(self, record: Mapping[str, Any]) -> str:
        steps, total = _number(record, "agent_steps"), self._averages.total_steps
        parts = [f"{min(steps / total, 1.0):4.0%} {steps_text(steps)} steps"]
        if self._averages.speed > 0:
            parts.append(f"{self._averages.speed:,.0f}/s, {duration_text(self._averages.seconds_left)} left")
        for head in names_in(record, "heads"):
            alpha, fraction, target = (
                number_text(_number(record, f"heads/{head}/{key}"), digits)
                for key, digits in (("alpha", 4), ("fraction", 2), ("target_fraction", 2))
            )
            status = status_name(record.get(f"heads/{head}/status", math.nan))
            parts.append(f"{head} alpha {alpha} fraction {fraction}/{target} {status}".rstrip())
        wins, _, games = self._averages.pool()
        if games and not math.isnan(wins):
            parts.append(f"pool {wins:.0%} won{league_line(record)}")
        return " | ".join(parts)


@contextmanager
def training_view(console: Console, run: str, total_steps: int) -> Iterator[TrainingView]:
    """Shows a training as the console allows: redrawn in a terminal, plain lines elsewhere.

    Python warnings that come up meanwhile are shown inside the view instead of tearing it apart.

    Args:
        console: Where to draw.
        run: Name of the run.
        total_steps: Planned length in agent-steps.
    """
    if console.is_terminal:
        view = LiveView(console, run, total_steps)
        with Live(view.render(), console=console, refresh_per_second=4, transient=False) as live:
            view.attach(live)
            with _warnings_to(view):
                yield view
        return
    plain = PlainView(console, total_steps)
    try:
        with _warnings_to(plain):
            yield plain
    finally:
        plain.flush()


@contextmanager
def _warnings_to(view: TrainingView) -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *_: Any) -> None:
        view.message(f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
