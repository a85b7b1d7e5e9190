"""The loop of a training run: play, learn, freeze, save, evaluate.

A run is a function of its configuration: every random stream is spawned from ``seed``, and all that depends on the
clock of the machine is kept under ``perf/``.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from headctl.ppo.choices import ChoiceCounts, count_choices
from headctl.ppo.faults import NonFiniteError
from headctl.ppo.learner import PPOLearner
from headctl.ppo.ranks import ALONE, Ranks
from headctl.ppo.rollout import Rollout
from headctl.run.agent import build_agent, fitting, load_agent, load_policy, ppo_options, warn
from headctl.run.allocator import keep_large_blocks
from headctl.run.checkpoint import (
    Checkpoint,
    CheckpointError,
    list_checkpoints,
    newest_usable,
    save_checkpoint,
    set_aside,
)
from headctl.run.config import RunConfig
from headctl.run.diagnosis import RunFailedError, TooManyFaultsError, note_fault
from headctl.run.keeper import LeagueKeeper, reason
from headctl.run.league_games import LeagueGames, write_league_games
from headctl.run.matches import GameMaker, evaluate
from headctl.run.memory import resident_mb
from headctl.run.resume import checked
from headctl.run.streams import generator, integer
from headctl.run.together import check_together
from headctl.selfplay.answers import known_answers
from headctl.selfplay.catalog import GameShare
from headctl.selfplay.collector import SelfPlayCollector
from headctl.selfplay.entropies import entropies_by_opponent, entropy_metrics
from headctl.selfplay.league import Snapshot, scheme_of
from headctl.selfplay.results import MatchResult

if TYPE_CHECKING:
    from headctl.run.callbacks import Callback

__all__ = ["Trainer", "build_agent", "load_agent", "load_policy"]

_STREAMS = ("network", "actions", "minibatches", "opponents", "game")
_RESTORED = 1  # beside the seed: the random streams after a restore are others than those of the beginning
Tell = Callable[[str], None]


class Trainer:
    """Trains one policy by self-play.

    Attributes:
        config: The resolved configuration.
        run_dir: The run's folder.
        policy: The policy as it is now.
        controller: Its temperatures.
        league: Its opponents, with what is known of them.
        pool: The frozen policies among them that are of this run.
        exploiters: Agents that train beside it, by role.
        agent_steps: Decisions taken so far by agents that the learner controls.
        iteration: Rounds of rollout and update so far.
        skipped_in_a_row: Updates left out since the last one that could be used.
        restores: How often the run has gone back to a checkpoint because its numbers had broken.
        saved_at: Agent-steps of the newest checkpoint; ``None`` before the first.
        before_save: Called before a checkpoint is written: what it shall not be younger than is flushed there.
        before_write: Called before anything else is written: whoever holds the folder makes sure that it still is his.
        callbacks: Told of evaluations and of changes in the league.
    """

    def __init__(
        self,
        config: RunConfig,
        run_dir: Path,
        *,
        resume: bool = False,
        tell: Tell | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Makes game, policy, controller and learner.

        Args:
            config: The resolved configuration.
            run_dir: The run's folder; checkpoints and snapshots go there.
            resume: Continue from the newest checkpoint that is whole.
            tell: Gets one line about everything that went wrong and was survived. ``None``: a warning.
            ranks: The processes that share the run, each with a trainer; what they do together all of them must call.

        Raises:
            CheckpointError: Nothing to resume from, or a checkpoint that is damaged or of another configuration.
            ConfigError: Something that several processes cannot share.
        """
        check_together(config, ranks.size)
        torch.set_num_threads(config.run.threads)
        if config.run.keep_memory:
            keep_large_blocks()
        self.config, self.run_dir, self._ranks = config, run_dir, ranks
        seeds = dict(zip(_STREAMS, np.random.SeedSequence(config.seed).spawn(len(_STREAMS)), strict=True))
        self._device = torch.device(ranks.device(config.run.device))
        self._make_game = GameMaker(config, self._device)
        mine = ranks.games(config.game.num_games)
        game = self._make_game(
            config.game.options,
            len(mine),
            integer(seeds["game"]),
            workers=config.game.workers,
            share=GameShare(mine.start, ranks.total) if ranks.total else None,
        )
        self._game = game
        self.policy, self.controller = build_agent(config, game, generator(seeds["network"], "cpu"))
        self.learner = PPOLearner(
            self.policy,
            self.controller,
            ppo_options(config),
            generator(seeds["minibatches"], "cpu"),
            process_group=ranks.group,
            threads=config.run.threads,
        )
        if self.learner.by_hand:  # lanes have the threads; torch's own would spin beside them
            torch.set_num_threads(1)
        self._tell = tell or warn
        self._keeper = LeagueKeeper(
            config,
            run_dir,
            self.policy,
            game=game,
            make_game=partial(self._make_game, config.game.options),
            random=np.random.Generator(np.random.PCG64(seeds["opponents"])),
            tell=self._tell,
            resume=resume,
            ranks=ranks,
        )
        self.league, self.exploiters = self._keeper.league, self._keeper.exploiters
        self.pool = self.league.pool
        self._streams = {"actions": generator(seeds["actions"], self._device), "minibatches": self.learner.generator}
        self.collector = SelfPlayCollector(
            game,
            self.policy,
            self.league,
            steps=config.ppo.rollout_steps,
            latest_share=config.selfplay.opponents.latest_share,
            slots=config.selfplay.slots,
            slot_iterations=config.selfplay.slot_iterations,
            generator=self._streams["actions"],
            seed=integer(seeds["game"]),
            ranks=ranks,
        )
        self.iteration = 0
        self.skipped_in_a_row = self.restores = 0
        self.saved_at: int | None = None
        self.before_save: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None
        self.callbacks: Sequence[Callback] = ()
        self._save_due = False
        self._failed_saves = 0
        self._elapsed_before = 0.0
        self._started = time.perf_counter()
        if resume:
            self._resume()
        else:
            self._keeper.freeze(self.policy, 0)

    @property
    def agent_steps(self) -> int:
        """Decisions taken so far by agents that the learner controls."""
        return self.collector.agent_steps

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(self.agent_steps / self.config.total_steps, 1.0)

    def iterations(self) -> Iterator[dict[str, float]]:
        """Trains until ``total_steps`` is reached; yields one record per iteration.

        A checkpoint that is due is written when the next record is asked for: the record of its iteration is on disk by
        then, and a kill in between repeats the iteration instead of losing its record.

        Raises:
            TooManyFaultsError: ``faults.max_skipped`` updates in a row could not be used; see :meth:`restore`.
            RunFailedError: The training is complete, and its last checkpoint cannot be written.
            GameFaultError: The game has raised.
        """
        config = self.config
        while self.agent_steps < config.total_steps:
            before = self.agent_steps
            record, faults = self._iterate()
            done = self.agent_steps >= config.total_steps
            if config.evaluation.every and (done or _crossed(before, self.agent_steps, config.evaluation.every)):
                results = self.evaluate(() if done else config.evaluation.pilots)
                for name, result in results.items():
                    record |= result.metrics(f"eval/{name}")
                for callback in self.callbacks:
                    callback.on_evaluation(results, self.agent_steps)
            # Schedules of performance may follow any metric by its name; these two have short ones.
            self.controller.report(
                win_rate=record["selfplay/win_rate"], league_win_rate=record["selfplay/league_win_rate"], **record
            )
            self._change_league(before, record)
            if done or _crossed(before, self.agent_steps, config.checkpoint.every):
                self._save_due = True
            yield record
            self._after_record(faults)

    def _change_league(self, before: int, record: dict[str, Any]) -> None:
        """Gives the league its turn, and tells everybody who has to know when somebody has entered it."""
        self.before_write()
        steps = (before, self.agent_steps)
        told, changed = self._keeper.turn(self.iteration, steps, spoilt=bool(self.skipped_in_a_row))
        record |= told
        if not changed:
            return
        self.controller.opponents_changed()
        reheat = self.config.selfplay.reheat
        if reheat.by > 0.0:
            self.controller.reheat(reheat.by, reheat.steps)
        for callback in self.callbacks:
            callback.on_league_change(self.pool.names, self.agent_steps)

    def _after_record(self, faults: Mapping[str, int]) -> None:
        if self.skipped_in_a_row >= self.config.faults.max_skipped:
            terms = ", ".join(faults)
            raise TooManyFaultsError(
                f"{self.skipped_in_a_row} updates in a row were left out at {self.agent_steps} agent-steps because "
                f"numbers were not finite: {terms}",
                faults,
            )
        # In the middle of such a row the policy may be spoilt: the last checkpoint is the last good one.
        if self._save_due and not self.skipped_in_a_row:
            self._save_or_tell()

    def _save_or_tell(self) -> None:
        """Writes the checkpoint that is due; one that cannot be written is tried again after the next iteration."""
        try:
            self.save()
        except OSError as error:
            self._failed_saves += 1
            problem = f"the checkpoint at {self.agent_steps} agent-steps cannot be written: {reason(error)}"
            last = "there is none yet" if self.saved_at is None else f"the last one is of {self.saved_at}"
            if self.agent_steps >= self.config.total_steps:
                raise RunFailedError(
                    f"{problem}; {last}. Make room and continue with: headctl train {self.run_dir} --resume"
                ) from error
            if self._failed_saves.bit_count() == 1:  # the first, second, fourth, eighth ... failure in a row
                self._tell(f"{problem}; {last}, training goes on and tries again")
            return
        if self._failed_saves:
            self._tell(f"checkpoints can be written again: {self.agent_steps} agent-steps")
        self._failed_saves = 0

    def _iterate(self) -> tuple[dict[str, Any], dict[str, int]]:
        """Plays and learns once; returns the record, and the terms that were not finite with their counts."""
        started = time.perf_counter()
        before = self.agent_steps
        self._game.set_progress(self.progress)
        rollout, last_value, against_pool = self.collector.collect()
        taken = self.agent_steps - before
        self.league.record(self.collector.results, taken)
        entropies = entropies_by_opponent(
            self.policy, rollout, self.collector.slot_of_row, self.collector.in_play, self._ranks.total
        )
        played = time.perf_counter()
        self.controller.advance(agent_steps=self.agent_steps, iterations=self.iteration)
        learned, faults = self._learn(rollout, last_value)
        self.policy.normalizer.update(rollout.observation[rollout.alive > 0], self._ranks.total)
        updated = time.perf_counter()
        self.iteration += 1
        if faults:
            self._note(faults, learned)
        record = {
            "agent_steps": self.agent_steps,
            "iteration": self.iteration,
            "progress": self.progress,
            **learned,
            "selfplay/games": against_pool.games,
            "selfplay/win_rate": against_pool.win_rate,
            "selfplay/draw_rate": against_pool.draws / against_pool.games if against_pool.games else math.nan,
            **self.league.metrics(self.collector.in_play, self.collector.results, self.agent_steps),
            **entropy_metrics(entropies),
            **known_answers(self._game, self.policy),
            **{f"env/{name}": value for name, value in self._game.pop_statistics().items()},
            "perf/agent_steps_per_s": taken / (updated - started),
            "perf/rollout_s": played - started,
            "perf/game_s": self.collector.game_s,
            "perf/policy_s": played - started - self.collector.game_s,
            "perf/update_s": updated - played,
            "perf/elapsed_s": self._elapsed_before + updated - self._started,
            "perf/rss_mb": resident_mb(),
            "perf/wall_time": time.time(),
        }
        self._check_in_step()
        return self._ranks.agreed(record), faults

    def _check_in_step(self) -> None:
        """Makes sure that all processes have learned the same."""
        if self._ranks.size == 1:
            return
        weights = torch.stack([weight.detach().double().sum() for weight in self.policy.parameters()]).cpu()
        clock = weights.new_tensor([self.agent_steps, self.skipped_in_a_row, len(self.pool)])
        self._ranks.check_in_step(torch.cat((weights, self.controller.log_alpha.double().cpu(), clock)))

    def choices(self) -> dict[str, ChoiceCounts]:
        """Returns what every head chose in the last rollout, as histograms."""
        return count_choices(self.collector.rollout, self.policy.action_heads)

    @property
    def pilots(self) -> tuple[str, ...]:
        """Names of the game's scripted opponents."""
        return tuple(self._game.pilot_names)

    def _learn(self, rollout: Rollout, last_value: Tensor) -> tuple[dict[str, float], dict[str, int]]:
        """Updates the policy, or leaves the update out where nothing of it can be used."""
        try:
            learned = self.learner.update(rollout, last_value, self.progress)
        except NonFiniteError as error:
            self.skipped_in_a_row += 1
            return self.learner.metrics_without_update(self.progress), error.terms
        self.skipped_in_a_row = 0
        return learned, dict(self.learner.skipped)

    def _note(self, faults: Mapping[str, int], learned: Mapping[str, float]) -> None:
        """Tells of numbers that were not finite, and keeps it in the diary."""
        self.before_write()
        whole = bool(self.skipped_in_a_row)
        terms = ", ".join(faults)
        what = "the update was" if whole else f"{learned['ppo/skipped']:g} minibatches of the update were"
        limit = self.config.faults.max_skipped
        row = f" ({self.skipped_in_a_row} in a row, {limit} at most)" if whole else ""
        self._tell(f"iteration {self.iteration}: {what} left out{row}; not finite: {terms}")
        if not self._ranks.first:
            return
        note_fault(
            self.run_dir,
            {
                "iteration": self.iteration,
                "agent_steps": self.agent_steps,
                "terms": dict(faults),
                "whole_update": whole,
                "in_a_row": self.skipped_in_a_row,
            },
        )

    def evaluate(self, pilots: Sequence[str] = (), games: int | None = None) -> dict[str, MatchResult]:
        """Plays the agent as it is against scripted pilots, by default all, half of the games from each seat.

        Evaluation has games and random streams of its own; a run is the same with and without it.
        """
        names = tuple(pilots) or self.pilots
        return evaluate(self._make_game, self.policy, names, games=games, ranks=self._ranks)

    def save(self) -> Path:
        """Writes a checkpoint of everything and returns its file.

        Raises:
            OSError: It cannot be written; the older ones are still there.
        """
        state = self.state_dict()
        path = self._ranks.first_does(lambda: self._write(state))
        self.saved_at = self.agent_steps
        self._save_due = False
        return path

    def _write(self, state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint and what lies beside it."""
        self.before_save()
        files = self._keeper.save_missing()
        settings = self.config.checkpoint
        path = save_checkpoint(
            self.run_dir,
            self.agent_steps,
            state,
            keep=settings.keep,
            milestones=settings.milestones,
            snapshots=files,
        )
        write_league_games(self.run_dir, LeagueGames(self.agent_steps, self.league.payoff, self.league.rating_anchor))
        return path

    def close(self) -> None:
        """Ends what the game keeps running beside this process, if anything."""
        close = getattr(self._game, "close", None)
        if close is not None:
            close()

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a bit-exact resume needs, as plain data."""
        return {
            "iteration": self.iteration,
            "elapsed_s": self._elapsed_before + time.perf_counter() - self._started,
            "learner": self.learner.state_dict(),
            "collector": self.collector.state_dict(),
            **self._keeper.state_dict(),
            "scheme": scheme_of(self.policy),
            "streams": {name: stream.get_state() for name, stream in self._streams.items()},
            "restores": self.restores,
            "config": self.config.model_dump(mode="python"),
        }

    def load_state_dict(self, state: Mapping[str, Any], snapshots: list[Snapshot] | None = None) -> None:
        """Takes over a state of the same configuration.

        Args:
            state: As :meth:`state_dict` returns it.
            snapshots: The opponents that it names; ``None``: they are read from the run's folder.
        """
        self.iteration = int(state["iteration"])
        self._elapsed_before = float(state["elapsed_s"])
        self._started = time.perf_counter()
        self.restores = int(state["restores"])
        self.learner.load_state_dict(state["learner"])
        self._keeper.load_state_dict(state, snapshots)
        self.collector.load_state_dict(state["collector"])
        for name, stream in self._streams.items():
            stream.set_state(state["streams"][name])
        self.skipped_in_a_row = 0

    def restore(self) -> None:
        """Goes back to the newest good checkpoint, and on from there with other random streams.

        Without that the run, being a function of its seed, would meet the same numbers again.

        Raises:
            CheckpointError: There is none.
        """
        restores = self.restores + 1
        self._resume()
        self.restores = restores
        seeds = np.random.SeedSequence([self.config.seed, _RESTORED, restores]).spawn(len(self._streams))
        for stream, seed in zip(self._streams.values(), seeds, strict=True):
            stream.manual_seed(integer(seed))

    def _resume(self) -> None:
        if not list_checkpoints(self.run_dir):
            raise CheckpointError(f"{self.run_dir}: no checkpoint to resume from; start anew with --force or --name")
        newest_usable(self.run_dir, self._take, self._tell)
        self.saved_at = self.agent_steps
        self._save_due = False
        self._ranks.any(flag=False)  # all have read what they need
        self._ranks.first_does(lambda: set_aside(self.run_dir, newer_than=self.agent_steps))

    def _take(self, checkpoint: Checkpoint) -> None:
        """Takes over a checkpoint, after everything about it was compared with what this run has."""
        found = checked(checkpoint, self.config, self.state_dict(), self.policy)
        with fitting(checkpoint):
            self.load_state_dict(found.state, found.snapshots)
        self._keeper.marks = found.marks


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every
