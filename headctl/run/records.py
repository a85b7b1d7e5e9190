"""Records of a run on disk: ``metrics.jsonl``, one JSON object per line, and TensorBoard."""

import contextlib
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from headctl.entropy.status import HeadStatus
from headctl.run import durable
from headctl.run.lines import METRICS_FILE, MetricsError, parse_lines, steps_of, to_json_line

if TYPE_CHECKING:
    from headctl.ppo.choices import ChoiceCounts  # loads torch, which reading a run does not need

TENSORBOARD_DIR = "tensorboard"


class MetricsWriter:
    """Writes records to ``metrics.jsonl`` and, if wanted, to TensorBoard.

    Every line is handed to the system in one piece when it is written, so a reader beside the run sees all finished
    iterations and a kill leaves at most one partial line. A full disk loses nothing: lines that could not be written
    are kept and written first, as soon as there is room.

    Args:
        run_dir: Folder of the run; must exist.
        heads: Names of the heads; entropy and target of each share one TensorBoard chart.
        tensorboard: Whether to write TensorBoard files too.
        resume_from: ``None`` starts anew. A number of agent-steps continues a run from the checkpoint made at that
            moment: later records, and a half-written last line, are cut off first.
        tell: Gets one line when something cannot be written, and when it can be again.

    Raises:
        MetricsError: The file is a link: it might lead to somebody else's file.
        OSError: The folder cannot be written to.
    """

    def __init__(
        self,
        run_dir: Path,
        heads: Sequence[str] = (),
        *,
        tensorboard: bool = True,
        resume_from: int | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._path = Path(run_dir) / METRICS_FILE
        self._tell = tell or _warn
        self._pending: list[bytes] = []
        self._in_trouble = self._abandoned = False
        if self._path.is_symlink():
            raise MetricsError(f"{self._path}: is a link; it is not written to")
        if resume_from is None:
            self._path.write_bytes(b"")
        elif self._path.exists():
            self._cut(resume_from)
        self._file = self._open()
        self._board = None
        if tensorboard:
            # TensorBoard takes a second to import and reading a run needs none of it.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  - see above

            purge = None if resume_from is None else resume_from + 1
            self._board = SummaryWriter(str(Path(run_dir) / TENSORBOARD_DIR), purge_step=purge)
            if heads:
                self._board.add_custom_scalars(tensorboard_layout(heads))

    def _cut(self, resume_from: int) -> None:
        """Keeps the records up to a moment; broken lines are dropped and told of, whatever the reason."""
        lines, broken = parse_lines(self._path.read_bytes())
        kept = [line for record, line in lines if steps_of(record) <= resume_from]
        durable.write_bytes(self._path, b"".join(line + b"\n" for line in kept))
        if broken:
            numbers = ", ".join(str(number) for number in broken[:5])
            self._tell(f"{self._path}: broken lines were dropped: {numbers}{' ...' if len(broken) > 5 else ''}")
        last = next((steps_of(record) for record, _ in reversed(lines) if steps_of(record) <= resume_from), 0)
        if last != resume_from:
            self._tell(f"{self._path}: its records end at {last:g} agent-steps, the checkpoint is of {resume_from}")

    def _open(self) -> BinaryIO:
        # Unbuffered: what the disk refuses must not stay in a buffer that writes it at the wrong moment.
        file = self._path.open("a+b", buffering=0)
        self._size = os.fstat(file.fileno()).st_size
        return file

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one record; ``record["agent_steps"]`` is its place on the axis."""
        self._pending.append(to_json_line(record).encode("utf-8") + b"\n")
        try:
            self._flush()
        except OSError as error:
            if not self._in_trouble:
                self._tell(f"{self._path}: cannot be written ({_reason(error)}); the records are kept until it can")
            self._in_trouble = True
        else:
            if self._in_trouble:
                self._tell(f"{self._path}: can be written again, nothing is missing")
            self._in_trouble = False
        self._write_board(record)

    def _flush(self) -> None:
        """Writes what is pending, whole lines only.

        Raises:
            OSError: The disk is full, or the folder is gone.
        """
        if not self._is_in_place():
            self._write_anew()
        while self._pending:
            line = self._pending[0]
            written = 0
            try:
                while written < len(line):
                    written += os.write(self._file.fileno(), line[written:])
            except BaseException:
                os.ftruncate(self._file.fileno(), self._size)
                raise
            self._size += len(line)
            del self._pending[0]

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def _write_anew(self) -> None:
        """The file was removed or moved while it was open: its content is still there to be written again."""
        content = os.pread(self._file.fileno(), self._size, 0)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(self._path, content)
        self._file.close()
        self._file = self._open()
        self._tell(f"{self._path}: was no longer there and was written again")

    def describe(self, config: Mapping[str, Any], text: str, results: Sequence[str] = ()) -> None:
        """Tells TensorBoard what is trained: the configuration as text, and as hyper-parameters to compare runs by.

        Args:
            config: The resolved configuration as nested mappings.
            text: The same as YAML.
            results: Names of the metrics that runs are compared by; they need not have a value yet.
        """
        if self._board is None:
            return
        from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415 - takes a second, as the writer does

        try:
            self._board.add_text("configuration", f"```yaml\n{text}```", 0)
            # add_hparams would open a run of its own beside this one; the summaries alone do not.
            for summary in hparams(flat_parameters(config), dict.fromkeys(results, 0.0)):
                self._board._get_file_writer().add_summary(summary)  # noqa: SLF001 - as add_hparams does it
        except OSError as error:
            self._give_up_board(error)

    def write_choices(self, counted: "Mapping[str, ChoiceCounts]", agent_steps: int) -> None:
        """Adds a histogram per head of what it chose, ``choices/<head>``, to TensorBoard.

        Args:
            counted: Per head, or part of a head, how often what was chosen.
            agent_steps: Place on the axis.
        """
        if self._board is None:
            return
        try:
            for name, counts in counted.items():
                self._board.add_histogram_raw(
                    f"choices/{name}",
                    min=counts.edges[0],
                    max=counts.edges[-1],
                    num=sum(counts.counts),
                    sum=counts.total,
                    sum_squares=counts.squares,
                    bucket_limits=counts.edges[1:],
                    bucket_counts=counts.counts,
                    global_step=agent_steps,
                )
        except OSError as error:
            self._give_up_board(error)

    def _give_up_board(self, error: OSError) -> None:
        self._board = None
        self._tell(f"TensorBoard files cannot be written ({_reason(error)}) and end here; {METRICS_FILE} goes on")

    def _write_board(self, record: Mapping[str, Any]) -> None:
        if self._board is None:
            return
        step = int(record["agent_steps"])
        try:
            for key, value in record.items():
                if "/" not in key or (isinstance(value, str) and not key.endswith("/status")):
                    continue  # the clock is the axis, and of names only a status has a number
                number = float(HeadStatus[value]) if isinstance(value, str) else float(value)
                if not math.isnan(number):
                    self._board.add_scalar(key, number, step)
        except OSError as error:
            self._give_up_board(error)

    def sync(self) -> None:
        """Makes sure that all records are on the disk; a checkpoint must not be younger than they are.

        Raises:
            OSError: They cannot be written.
        """
        self._flush()
        os.fsync(self._file.fileno())

    def abandon(self) -> None:
        """Has :meth:`close` write nothing any more: what lies in the folder now is somebody else's."""
        self._abandoned = True

    def close(self) -> None:
        """Closes both files; nothing may be written afterwards."""
        try:
            if not self._abandoned:
                self._flush()
        except OSError as error:
            self._tell(f"{self._path}: {len(self._pending)} records could not be written ({_reason(error)})")
        self._file.close()
        if self._board is not None:
            with contextlib.suppress(OSError):
                self._board.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoRecords(MetricsWriter):
    """Writes nothing: the records of a run that several processes share are written by the first one."""

    def __init__(self) -> None:
        """Opens no file."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Does nothing, like everything else here."""

    def describe(self, config: Mapping[str, Any], text: str, results: Sequence[str] = ()) -> None:
        """As above."""

    def write_choices(self, counted: "Mapping[str, ChoiceCounts]", agent_steps: int) -> None:
        """As above."""

    def sync(self) -> None:
        """As above."""

    def abandon(self) -> None:
        """As above."""

    def close(self) -> None:
        """As above."""


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=3)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def flat_parameters(config: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Returns a nested configuration with dotted keys and plain values, as TensorBoard's hyper-parameters need it."""
    flat: dict[str, bool | int | float | str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flat_parameters(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, bool | int | float | str) else json.dumps(value)
    return flat


def tensorboard_layout(heads: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """Returns the layout of TensorBoard's custom scalars: entropy beside its target, and all alphas together."""
    charts: dict[str, list[Any]] = {}
    for head in heads:
        tag = re.escape(head)
        charts[f"{head}: fraction and target"] = [
            "Multiline",
            [f"^heads/{tag}/fraction$", f"^heads/{tag}/target_fraction$"],
        ]
        charts[f"{head}: entropy and target (nats)"] = [
            "Multiline",
            [f"^heads/{tag}/entropy$", f"^heads/{tag}/target_entropy$"],
        ]
    charts["alpha of every head"] = ["Multiline", [f"^heads/{re.escape(head)}/alpha$" for head in heads]]
    return {"heads": charts}
