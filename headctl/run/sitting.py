"""One sitting of a training: from the start or a checkpoint to the end, a wish to stop, or what cannot be survived."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from headctl.ppo.ranks import ALONE, Ranks
from headctl.run.callbacks import Callback
from headctl.run.changes import changed_keys
from headctl.run.checkpoint import CheckpointError, list_checkpoints, steps_of
from headctl.run.config import RunConfig, to_yaml
from headctl.run.console import TrainingView
from headctl.run.diagnosis import DIAGNOSIS_FILE, RunFailedError, TooManyFaultsError, write_diagnosis
from headctl.run.folder import CONFIG_FILE, note_sitting, rebuild, write_config
from headctl.run.lines import METRICS_FILE
from headctl.run.lock import RunLock, RunLockError
from headctl.run.manifest import manifest_path
from headctl.run.metrics import names_in
from headctl.run.records import MetricsWriter, NoRecords
from headctl.run.report import EVALUATION_DIR, RunReader, write_evaluation
from headctl.run.trainer import Trainer
from headctl.selfplay.faults import GameFaultError
from headctl.selfplay.results import MatchResult

FINAL_EVALUATION = "final"
INTERRUPTED = 130


@dataclass(slots=True)
class StopRequest:
    """Whether the user has asked the training to end, and with which exit code."""

    exit_code: int = 0


class Sitting:
    """Drives a trainer, writes its records, and decides what to do when something breaks."""

    def __init__(
        self,
        config: RunConfig,
        lock: RunLock,
        view: TrainingView,
        stop: StopRequest,
        *,
        callbacks: Sequence[Callback] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        """Prepares a sitting.

        Args:
            config: The resolved configuration.
            lock: That of the run's folder; this process holds it, or the first of those that share the run.
            view: Shows records and messages.
            stop: Whether the user wants to stop.
            callbacks: Told of what happens.
            ranks: The processes that share the run, each with a sitting; the first one writes.
        """
        self._callbacks, self._ranks = callbacks, ranks
        self._config, self._lock, self._view, self._stop = config, lock, view, stop
        self._run_dir = lock.run_dir
        self._last: Mapping[str, Any] = {}
        self._writer: MetricsWriter | None = None
        self._restores_here = 0
        self._restored_to: int | None = None

    def run(self, *, resume: bool) -> int:
        """Trains.

        Args:
            resume: Continue from the newest checkpoint that is whole.

        Returns:
            The exit code: 0 or 130.

        Raises:
            CheckpointError: Nothing to resume from.
            RunFailedError: The training cannot go on; ``diagnosis.json`` says more.
        """
        trainer, resume_from = self._begin(resume=resume)
        trainer.callbacks = self._callbacks
        for callback in self._callbacks:
            callback.on_start(self._config, self._run_dir)
        try:
            return self._train(trainer, resume_from)
        finally:
            for callback in self._callbacks:
                callback.on_end(self._run_dir)

    def _train(self, trainer: Trainer, resume_from: int | None) -> int:
        while True:
            try:
                self._play(trainer, resume_from)
                break
            except TooManyFaultsError as fault:
                self._go_back(trainer, fault)
                resume_from = trainer.agent_steps
            except GameFaultError as fault:
                raise self._game_has_failed(trainer, fault) from fault
        finished = trainer.agent_steps >= self._config.total_steps
        if self._stop.exit_code and not finished:
            return self._stop.exit_code
        closing = self._run_dir / EVALUATION_DIR / f"{FINAL_EVALUATION}.json"
        if not self._ranks.first_does(closing.exists):
            # The last sitting ended between its last checkpoint and the end of the closing matches.
            self._final_evaluation(trainer, {})
        return 0

    def _begin(self, *, resume: bool) -> tuple[Trainer, int | None]:
        """Returns the trainer, and the agent-steps from which its records go on; ``None``: from the beginning."""
        run_dir, tell = self._run_dir, self._view.message
        if resume and self._ranks.first_does(lambda: _is_before_its_first_checkpoint(run_dir)):
            tell(f"{run_dir} was stopped before its first checkpoint: it begins now")
            resume = False
        trainer = Trainer(self._config, run_dir, resume=resume, tell=tell, ranks=self._ranks)
        changed: dict[str, tuple[Any, Any]] = {}
        try:
            if resume:
                changed = self._ranks.first_does(self._take_over_changes)
            else:
                trainer.save()  # from here on a kill leaves a folder that resumes
        except OSError as error:
            raise RunFailedError(f"{run_dir} cannot be written to: {error.strerror or error}") from error
        self._ranks.first_does(lambda: note_sitting(run_dir, trainer.agent_steps, changed))
        return trainer, trainer.agent_steps if resume else None

    def _take_over_changes(self) -> dict[str, tuple[Any, Any]]:
        """Writes the configuration if it is not the one in the folder; returns what has changed."""
        before = RunReader.config_of(self._run_dir)
        changed = changed_keys(before.model_dump(mode="python"), self._config.model_dump(mode="python"))
        if to_yaml(before) != to_yaml(self._config):
            write_config(self._run_dir, self._config)
        for key, (old, new) in changed.items():
            self._view.message(f"{key}: was {old!r}, is {new!r} from here on")
        return changed

    def _play(self, trainer: Trainer, resume_from: int | None) -> None:
        """Writes and shows records until the end of the training or a wish to stop."""
        config = self._config
        with self._records(trainer, resume_from) as writer:
            results = ["selfplay/win_rate", *(f"eval/{pilot}/win_rate" for pilot in trainer.pilots)]
            writer.describe(config.model_dump(mode="python"), to_yaml(config), results)
            self._writer = writer
            trainer.before_save = lambda: self._before_save(writer)
            trainer.before_write = self._hold_the_folder
            for record in trainer.iterations():
                self._hold_the_folder()
                if trainer.agent_steps >= config.total_steps:
                    record.update(self._final_evaluation(trainer, record))
                writer.write(record)
                if config.run.tensorboard:
                    writer.write_choices(trainer.choices(), trainer.agent_steps)
                self._view.update(record)
                self._last = record
                for callback in self._callbacks:
                    callback.on_iteration(record)
                if self._shall_stop() and trainer.agent_steps < config.total_steps:
                    self._save_before_leaving(trainer)
                    break

    def _records(self, trainer: Trainer, resume_from: int | None) -> MetricsWriter:
        """Opens the records of the run.

        Raises:
            RunFailedError: They cannot be written.
        """
        if not self._ranks.first:
            return NoRecords()
        run_dir = self._run_dir
        try:
            return MetricsWriter(
                run_dir,
                list(trainer.controller.heads),
                tensorboard=self._config.run.tensorboard,
                resume_from=resume_from,
                tell=self._view.message,
            )
        except OSError as error:
            raise RunFailedError(f"{run_dir / METRICS_FILE} cannot be written: {error.strerror or error}") from error

    def _shall_stop(self) -> bool:
        """Tells whether the user wants to stop; of several processes any may have been told."""
        if self._ranks.any(bool(self._stop.exit_code)):
            self._stop.exit_code = self._stop.exit_code or INTERRUPTED
        return bool(self._stop.exit_code)

    def _hold_the_folder(self) -> None:
        """Takes the lock again where the folder was removed or moved away, or the file of the lock was.

        Raises:
            RunFailedError: Another run lies there now. Nothing of it is touched.
        """
        lock, run_dir = self._lock, self._run_dir
        if not self._ranks.first or lock.holds():
            return
        if not lock.is_same_folder() and (run_dir / CONFIG_FILE).exists():
            raise self._folder_is_lost("another run lies there now")
        try:
            lock.take_again()
        except RunLockError as error:
            raise self._folder_is_lost(str(error)) from error
        except OSError:
            return  # a disk that nothing can be written to is told of where something is written

    def _folder_is_lost(self, what: str) -> RunFailedError:
        if self._writer is not None:
            self._writer.abandon()
        return RunFailedError(
            f"{self._run_dir} was removed while it was trained in: {what}. This training ends, and has changed nothing "
            "in the folder since"
        )

    def _before_save(self, writer: MetricsWriter) -> None:
        """A checkpoint is not written before its records, nor into a folder that is none any more, or another's."""
        self._hold_the_folder()
        if not (self._run_dir / CONFIG_FILE).exists():
            rebuild(self._run_dir, self._config)
            self._view.message(f"{self._run_dir} was removed while it was trained in; it was made anew")
        writer.sync()

    def _save_before_leaving(self, trainer: Trainer) -> None:
        view, run_dir = self._view, self._run_dir
        if trainer.skipped_in_a_row:
            view.message(f"interrupted; not saved, because the last {trainer.skipped_in_a_row} updates were left out")
        else:
            try:
                view.message(f"interrupted; saved {trainer.save()}")
            except OSError as error:
                raise RunFailedError(
                    f"interrupted, and the checkpoint cannot be written: {error.strerror or error}. The last one is of "
                    f"{trainer.saved_at} agent-steps"
                ) from error
        view.message(f"continue with: headctl train {run_dir} --resume")

    def _final_evaluation(self, trainer: Trainer, record: Mapping[str, float]) -> dict[str, float]:
        """Plays the closing matches, unless this record has them already, and keeps them in ``eval/`` too."""
        found = {
            who: MatchResult(*(int(record[f"eval/{who}/{part}"]) for part in ("wins", "losses", "draws")))
            for who in names_in(record, "eval")
        }
        if not found:
            self._view.message(f"playing {trainer.config.evaluation.games} games against every scripted pilot")
        results = found or trainer.evaluate()
        if not found:
            for callback in self._callbacks:
                callback.on_evaluation(results, trainer.agent_steps)
        try:
            self._ranks.first_does(
                lambda: write_evaluation(trainer.run_dir, FINAL_EVALUATION, results, trainer.agent_steps)
            )
        except OSError as error:
            self._view.message(f"eval/{FINAL_EVALUATION}.json cannot be written: {error.strerror or error}")
        return {key: value for who, result in results.items() for key, value in result.metrics(f"eval/{who}").items()}

    # When something breaks ------------------------------------------------------------------------------------------

    def _go_back(self, trainer: Trainer, fault: TooManyFaultsError) -> None:
        """Restores the last good checkpoint, unless that was tried often enough.

        Raises:
            RunFailedError: It was, or there is no checkpoint.
        """
        limit = self._config.faults.max_restores
        steps, good = trainer.agent_steps, trainer.saved_at
        self._restores_here = self._restores_here + 1 if good == self._restored_to else 1
        if self._restores_here > limit:
            tried = f"going back to the checkpoint of {good} agent-steps {limit} times did not help"
            raise self._numbers_have_failed(trainer, fault, tried) from fault
        try:
            trainer.restore()
        except CheckpointError as error:
            raise self._numbers_have_failed(trainer, fault, str(error)) from fault
        self._restored_to = trainer.saved_at
        self._view.message(
            f"{fault}. Went back from {steps} to the checkpoint of {trainer.agent_steps} agent-steps, and on with "
            f"other random numbers ({self._restores_here} of {limit} times)"
        )

    def _numbers_have_failed(self, trainer: Trainer, fault: TooManyFaultsError, tried: str) -> RunFailedError:
        weights = trainer.policy.state_dict()
        write = partial(
            write_diagnosis,
            self._run_dir,
            str(fault),
            iteration=trainer.iteration,
            agent_steps=trainer.agent_steps,
            seed=self._config.seed,
            terms=fault.terms,
            last_record=self._last,
            weights={
                name: {"norm": float(entry.double().norm()), "finite": bool(torch.isfinite(entry).all())}
                for name, entry in weights.items()
            },
            advice=_ADVICE,
        )
        path = self._ranks.first_does(write)
        return RunFailedError(f"{fault}; {tried}. {_named(path)}{_ADVICE}")

    def _game_has_failed(self, trainer: Trainer, fault: GameFaultError) -> RunFailedError:
        path = write_diagnosis(
            self._run_dir,
            str(fault),
            iteration=trainer.iteration,
            agent_steps=trainer.agent_steps,
            seed=self._config.seed,
            reproduction={"options": self._config.game.options, **fault.reproduction},
            traceback=_traceback(fault),
        )
        return RunFailedError(
            f"{fault}. {_named(path)}The run is whole; once the game is repaired, continue with: "
            f"headctl train {self._run_dir} --resume"
        )


_ADVICE = (
    "Where an observation or a reward is named, the game gives numbers that are none; where only losses and gradients "
    "are, the step is too large: start anew from an older checkpoint with a lower ppo.learning_rate"
)


def _named(path: Path | None) -> str:
    return f"{DIAGNOSIS_FILE} could not be written. " if path is None else f"{path} says more. "


def _traceback(fault: GameFaultError) -> list[str]:
    cause = fault.__cause__
    return traceback.format_exception(cause) if cause is not None else []


def _is_before_its_first_checkpoint(run_dir: Path) -> bool:
    """Tells whether a run was killed before its checkpoint of the beginning was finished: nothing is lost then."""
    metrics = run_dir / METRICS_FILE
    if metrics.exists() and metrics.stat().st_size > 0:
        return False
    return all(steps_of(path) == 0 and not manifest_path(run_dir, path).exists() for path in list_checkpoints(run_dir))
