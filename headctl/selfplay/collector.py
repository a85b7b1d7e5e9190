"""Self-play rollouts: the games are played, and what the learner gets to see of them is stored.

Shapes: T steps, N games, A seats, R rows of the learner, P opponents in play at once, M rows per opponent, F features,
K choices.

Who sits where: :mod:`headctl.selfplay.seating`.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from headctl.policy.actions import Actions
from headctl.policy.draws import Draws, SharedDraws
from headctl.policy.network import Policy
from headctl.ppo.decisions import Decisions
from headctl.ppo.ranks import ALONE, Ranks
from headctl.ppo.rollout import Rollout, RowShare
from headctl.ppo.sequences import SequenceRollout, make_rollout
from headctl.selfplay.cut_episodes import CutEpisodes
from headctl.selfplay.faults import GameFaultError, raised
from headctl.selfplay.games import DRAW, RUNNING, GameStep, Observations, VectorGame, mask_sizes, seats_of_rows
from headctl.selfplay.league import Opponent, OpponentStack, Pilot
from headctl.selfplay.results import MatchResult
from headctl.selfplay.seating import Part, Seating


class Opponents(Protocol):
    """Whoever says against whom the next games are played."""

    def draw(self, count: int) -> Sequence[Opponent]:
        """Returns one opponent per slot."""
        ...


class SelfPlayCollector:
    """Plays the games and fills rollouts.

    Attributes:
        agent_steps: Decisions taken so far by living agents that the learner controls.
        game_s: Seconds that the games took of the last rollout; on a GPU, until their work was handed over.
        in_play: The opponent in every slot ``[P]``, by name.
        results: Of the last rollout: games that ended, by opponent, from the learner's side.
    """

    def __init__(
        self,
        game: VectorGame,
        policy: Policy,
        pool: Opponents,
        *,
        steps: int,
        latest_share: float,
        slots: int,
        slot_iterations: int,
        generator: torch.Generator,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        """Begins the games.

        Args:
            game: The games, of several processes those of this one.
            policy: The learner's policy, acting as it is at each moment.
            pool: Who is drawn from; not empty by the first rollout.
            steps: Decisions per game and rollout T.
            latest_share: Share of games in which the learner plays itself.
            slots: Largest number of opponents in play at once.
            slot_iterations: Rollouts before the opponents are drawn anew.
            generator: Random stream of all actions.
            seed: Seed of the games.
            ranks: The processes that play the games together, each an equal share of them.

        Raises:
            ValueError: Shares in which not every opponent has the same number of games.
        """
        self._game, self._policy, self._pool = game, policy, pool
        self._steps, self._slot_iterations = steps, slot_iterations
        self._seed, self._ranks = seed, ranks
        all_games = ranks.size * game.num_games
        self._seating = Seating(all_games, game.seat_sides, latest_share=latest_share, slots=slots)
        seating, slots = self._seating.part(ranks.games(all_games)), self._seating.slots
        self._draws, self._their_draws = self._streams(seating, generator)
        self._learner = seating.learner.to(game.device)
        self._opponents = seating.opponents.to(game.device)
        self._learner_side = seating.learner_side.to(game.device)
        self._slot_of_game = seating.slot_of_game.to(game.device)
        self._in_pool_game = self._slot_of_game >= 0
        self._pilot_rows: dict[str, Tensor] = {}
        self._pilot_seats: dict[str, Tensor] = {}
        self._pilots: list[str] = []
        self.in_play: list[str] = []
        self.results: dict[str, MatchResult] = {}
        self._everyone = len(seating.learner) == game.num_games * game.num_seats
        self._stack = OpponentStack(policy, slots, seating.opponents.shape[1]) if slots else None
        self._iterations_left = 0
        # A game that was under way when its opponent changed says nothing about either of them.
        self._counts = torch.zeros(game.num_games, dtype=torch.bool, device=game.device)
        self._seen = game.reset(seed)
        policy.normalizer.update(self._rows(self._seen.observation, self._learner), ranks.total)
        sizes, rows = mask_sizes(self._seen), len(self._learner)
        self._rollout = make_rollout(policy, steps, rows, game.observation_dim, mask_sizes=sizes, device=game.device)
        if ranks.size > 1:
            self._rollout.share = RowShare(int(seating.learner_rows[0]), len(self._seating.learner))
        self._cut = CutEpisodes(self._rollout, policy)
        self._decisions = Decisions(policy, self._rollout) if Decisions.knows(policy) else None
        # What the learner's rows remember, and where that was emptied after the last decision.
        self._state = policy.initial_state(rows)
        self._fresh = torch.zeros(rows, device=game.device)
        self._actions = policy.action_heads.empty(game.num_games * game.num_seats, device=game.device)
        self.agent_steps = 0
        self.game_s = 0.0

    def _streams(self, seating: Part, generator: torch.Generator) -> tuple[Draws, Draws]:
        """Returns the stream of the learner's actions and that of the opponents', both of the same generator."""
        if self._ranks.size == 1:
            return generator, generator
        rows, totals = (seating.learner_rows, seating.opponent_rows), (self._seating.learner, self._seating.opponents)
        mine, theirs = (
            SharedDraws(generator, own.to(self._game.device), every.numel())
            for own, every in zip(rows, totals, strict=True)
        )
        return mine, theirs

    @property
    def rollout(self) -> Rollout:
        """The storage of the last rollout."""
        return self._rollout

    @property
    def rows(self) -> int:
        """Agents R that the learner controls."""
        return len(self._learner)

    @torch.no_grad()
    def collect(self) -> tuple[Rollout, Tensor, MatchResult]:
        """Plays T decisions of every game.

        Returns:
            The rollout (the same storage every time), the value of the states after it ``[R]``, and the games against
            frozen opponents that ended in it, from the learner's side.

        Raises:
            GameFaultError: The game has raised.
        """
        self._change_opponents()
        self.game_s = 0.0
        results = torch.zeros(max(self._seating.slots, 1), 3, dtype=torch.int64, device=self._game.device)
        if self._decisions is not None:
            self._decisions.begin(self._draws)
        for step in range(self._steps):
            self._play(step, results)
        self._cut.value()
        last_value = self._policy.step(self._rows(self._seen.observation, self._learner), self._state)[1]
        total = self._ranks.total
        if total is None:
            self.agent_steps += int(self._rollout.alive.sum())
        else:
            self.agent_steps += int(total(self._rollout.alive.sum(dtype=torch.int64)))
            total(results)
        played = [MatchResult(*counts) for counts in results.tolist()]
        self.results = {}
        for name, result in zip(self.in_play, played, strict=False):
            self.results[name] = self.results.get(name, MatchResult(0, 0, 0)) + result
        return self._rollout, last_value, sum(played, MatchResult(0, 0, 0))

    def _play(self, step: int, results: Tensor) -> None:
        """Plays one decision of every game; adds wins, losses and draws ``[P, 3]`` to ``results``."""
        seen, rollout, heads = self._seen, self._rollout, self._policy.action_heads
        observation = self._rows(seen.observation, self._learner)
        stored = rollout.at(step).masks
        for name, mask in seen.masks.items():
            stored[name].copy_(self._rows(mask, self._learner))
        if self._decisions is not None:
            taken = self._decisions.decide(step, observation)
        else:
            if isinstance(rollout, SequenceRollout) and self._state is not None:
                rollout.store_state(step, self._state, self._fresh)
            actions, masks = rollout.slots(step)
            decision = self._policy.act(observation, masks, self._draws, state=self._state, into=actions)
            rollout.store_decision(step, observation, None, decision)
            self._state = decision.state
            taken = decision.actions
        if not self._everyone:
            self._put(taken, self._learner)
        if self._stack is not None:
            theirs = {name: self._rows(mask, self._opponents) for name, mask in seen.masks.items()}
            drawn = self._stack.act(self._rows(seen.observation, self._opponents), theirs, self._their_draws)
            self._put({name: action.flatten(0, 1) for name, action in drawn.items()}, self._opponents.flatten())
        shape = (self._game.num_games, self._game.num_seats)
        chosen = heads.to_game(taken if self._everyone else self._actions)
        for pilot, rows in self._pilot_rows.items():
            for name, action in self._game.pilot_actions(pilot, self._pilot_seats[pilot]).items():
                chosen[name][rows] = self._rows(action, rows).to(chosen[name].dtype)
        given = {name: action.unflatten(0, shape) for name, action in chosen.items()}
        started = time.perf_counter()
        played = self._step(step, given)
        self.game_s += time.perf_counter() - started
        self._store(step, played)
        if self._state is not None:
            self._forget(played)
        self._seen = Observations(played.observation, played.masks)
        if self._stack is not None:
            self._count(played, results)

    def _step(self, step: int, actions: Actions) -> GameStep:
        """Plays one decision; an error of the game becomes one that says how to see it again.

        Raises:
            GameFaultError: The game has raised.
        """
        try:
            return self._game.step(actions)
        except GameFaultError:
            raise
        except Exception as error:  # a game may fail in any way
            reproduction = {
                "seed": self._seed,
                "agent_steps_before_the_rollout": self.agent_steps,
                "step_of_the_rollout": step,
                "actions": {name: action.tolist() for name, action in actions.items()},
            }
            place = f"in step {step} of the rollout after {self.agent_steps} agent-steps, seed {self._seed}"
            raise GameFaultError(f"the game has raised {place}: {raised(error)}", reproduction) from error

    def _store(self, step: int, played: GameStep) -> None:
        truncated = self._rows(played.truncated, self._learner)
        final = played.final_observation.flatten(0, 1)
        self._cut.note(step, truncated, final, None if self._everyone else self._learner, self._state)
        done = truncated | self._rows(played.terminated, self._learner)
        reward, alive = (self._rows(entry, self._learner) for entry in (played.reward, played.alive))
        self._rollout.store_outcome(step, reward, done, None, alive)

    def _forget(self, played: GameStep) -> None:
        """Empties the memory of every seat whose episode is over, and of the dead where a new game begins."""
        over = played.terminated | played.truncated | (played.outcome != RUNNING).unsqueeze(1)
        own = self._rows(over, self._learner)
        self._state = None if self._state is None else self._state.masked_fill(own.unsqueeze(-1), 0.0)
        self._fresh = own.float()
        if self._stack is not None:
            self._stack.forget(self._rows(over, self._opponents))

    def forget(self) -> None:
        """Empties the memory of the learner's rows: another policy goes on with their games."""
        self._state = self._policy.initial_state(self.rows)

    def _count(self, played: GameStep, results: Tensor) -> None:
        outcome = played.outcome
        over = outcome != RUNNING
        counted = over & self._counts
        kind = torch.where(outcome == DRAW, 2, (outcome - 1 != self._learner_side).to(torch.int64))
        cell = 3 * self._slot_of_game.clamp(min=0) + kind
        results.view(-1).scatter_add_(0, cell, counted.to(torch.int64))
        self._counts |= over & self._in_pool_game

    def _change_opponents(self) -> None:
        if self._stack is None:
            return
        if self._iterations_left == 0:
            drawn = self._pool.draw(self._seating.slots)
            for slot, opponent in enumerate(drawn):
                if not isinstance(opponent, Pilot):
                    self._stack.load(slot, opponent)
            # Whoever goes on playing the same games still knows them.
            stays = [before == opponent.name for before, opponent in zip(self.in_play, drawn, strict=False)]
            changed = torch.tensor(stays or [False] * len(drawn), device=self._game.device).logical_not()
            self._stack.forget(changed.unsqueeze(1))
            self._seat(
                [opponent.name for opponent in drawn],
                [opponent.name if isinstance(opponent, Pilot) else "" for opponent in drawn],
            )
            self._counts.zero_()
            self._iterations_left = self._slot_iterations
        self._iterations_left -= 1

    def _seat(self, names: list[str], pilots: list[str]) -> None:
        """Notes who sits where; ``pilots`` names the scripted ones and is ``""`` for the others."""
        self.in_play, self._pilots = names, pilots
        slots: dict[str, list[int]] = {}
        for slot, pilot in enumerate(pilots):
            if pilot:
                slots.setdefault(pilot, []).append(slot)
        # Pilots act in the game's own units, over whatever the stack has drawn for their slots.
        self._pilot_rows = {pilot: self._opponents[taken].flatten() for pilot, taken in slots.items()}
        self._pilot_seats = {pilot: seats_of_rows(self._game, rows) for pilot, rows in self._pilot_rows.items()}

    @property
    def slot_of_row(self) -> Tensor:
        """Slot of the opponent of every row of the learner ``[R]``; -1 in games against itself."""
        return self._slot_of_game[self._learner // self._game.num_seats]

    def _rows(self, entry: Tensor, rows: Tensor) -> Tensor:
        """Takes rows ``[...]`` of seats out of ``[N, A, ...]``; a view where the learner has all of them."""
        if self._everyone and rows is self._learner:
            return entry.flatten(0, 1)
        taken = entry.flatten(0, 1).index_select(0, rows.flatten())
        return taken.unflatten(0, rows.shape) if rows.ndim > 1 else taken

    def _put(self, actions: Actions, rows: Tensor) -> None:
        for name, action in actions.items():
            self._actions[name].index_copy_(0, rows, action)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a bit-exact resume needs, as plain data."""
        of_games = {
            "game": self._game.state_dict(),
            "observation": self._seen.observation.clone(),
            "masks": {name: mask.clone() for name, mask in self._seen.masks.items()},
            "counts": self._counts.clone(),
        }
        return {
            **self._ranks.whole(of_games),
            "iterations_left": self._iterations_left,
            "in_play": list(self.in_play),
            "pilots": list(self._pilots),
            "opponents": {} if self._stack is None else self._stack.state_dict(),
            "agent_steps": self.agent_steps,
            **({} if self._state is None else {"memory": self._state.clone()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of the same game and seating.

        Raises:
            ValueError: Opponents that nobody can seat.
        """
        own = self._ranks.own({name: state[name] for name in ("game", "observation", "masks", "counts")})
        seen = self._game.load_state_dict(own["game"])
        device = self._game.device
        if seen is None:
            masks = {name: mask.to(device) for name, mask in own["masks"].items()}
            seen = Observations(own["observation"].to(device), masks)
        self._seen = seen
        self._counts = own["counts"].to(device)
        self._iterations_left = int(state["iterations_left"])
        if self._stack is not None:
            in_play, pilots = list(state["in_play"]), list(state["pilots"])
            known = {"", *self._game.pilot_names}
            if not all(isinstance(name, str) for name in in_play) or not known.issuperset(pilots):
                raise ValueError(f"collector.in_play: {in_play[:20]!r} with the pilots {pilots[:20]!r}")
            if pilots and not len(in_play) == len(pilots) == self._seating.slots:
                raise ValueError(f"collector.in_play: {len(in_play)} opponents for {self._seating.slots} slots")
            self._stack.load_state_dict(state["opponents"])
            self._seat(in_play, pilots)
        if self._state is not None:
            self._state = state["memory"].to(device, copy=True)
        self.agent_steps = int(state["agent_steps"])
