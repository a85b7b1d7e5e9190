"""Many matrix games side by side on tensors, with automatic reset.

Shapes: N games, 2 seats, K choices, R rounds, F features. What a call returns is made anew by every call.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from headctl_envs.matrix.config import HEAD, PILOTS, MatrixConfig

_FIRST_WON, _SECOND_WON, _DRAW = 1, 2, 3
_NOTHING = 1e-9  # less than this is rounding, not a lead


class Observations(NamedTuple):
    """What the seats see.

    Attributes:
        observation: float32 [N, 2, F].
        masks: ``choice``, bool [N, 2, K], where one seat has fewer choices than the other; else empty.
    """

    observation: Tensor
    masks: dict[str, Tensor]


class GameStep(NamedTuple):
    """What a step returns.

    Attributes:
        observation: float32 [N, 2, F], after auto-reset.
        masks: As in :class:`Observations`.
        reward: float32 [N, 2]: the payoff of the round, and its negative.
        terminated: bool [N, 2]: the episode ended.
        truncated: bool [N, 2]: never.
        final_observation: float32 [N, 2, F] before auto-reset; of an episode that ended, its last observation.
        alive: bool [N, 2]: always.
        outcome: int64 [N], 0 the game goes on, 1 the first seat has more, 2 the second, 3 neither.
    """

    observation: Tensor
    masks: dict[str, Tensor]
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_observation: Tensor
    alive: Tensor
    outcome: Tensor


class MatrixEngine:
    """N matrix games.

    Args:
        config: The options; the defaults if ``None``.
        num_games: N, at least 1.
        seed: Seed of the scripted opponents, the only randomness of the game.
        device: Where the tensors live.

    Raises:
        ValueError: If ``num_games`` is smaller than 1.
    """

    def __init__(
        self,
        config: MatrixConfig | None = None,
        num_games: int = 1,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        if num_games < 1:
            raise ValueError(f"num_games = {num_games} must be at least 1")
        self.config = config if config is not None else MatrixConfig()
        self.num_games, self.num_seats = num_games, 2
        self.seat_sides = (0, 1)
        self.device = torch.device(device)
        self.pilot_names = PILOTS
        self.action_space = spaces.Dict({HEAD: spaces.Discrete(self.config.choices)})
        self.observation_dim = self.config.features.shape[-1]
        self.episode_decisions = self.config.rounds
        self._payoff = torch.tensor(self.config.matrix, device=self.device)
        self._features = torch.tensor(self.config.features, device=self.device)
        self._legal = torch.tensor(self.config.legal, device=self.device)
        self._random = torch.Generator(device=self.device).manual_seed(seed)
        self._seats = torch.arange(2, device=self.device)
        self._round = torch.zeros(num_games, dtype=torch.int64, device=self.device)
        self._last = torch.zeros(num_games, 2, dtype=torch.int64, device=self.device)  # 0: none yet
        self._total = torch.zeros(num_games, dtype=torch.float64, device=self.device)
        self._payoffs: list[Tensor] = []

    def reset(self, seed: int | None = None) -> Observations:
        """Begins every game anew; with a seed, the stream of the scripted opponents too."""
        if seed is not None:
            self._random.manual_seed(seed)
        for state in (self._round, self._last, self._total):
            state.zero_()
        return Observations(self._observe(), self._masks())

    def step(self, actions: Mapping[str, Tensor]) -> GameStep:
        """Plays a round of every game: int64 [N, 2] under ``choice``; a choice that is not legal counts as 0."""
        choice = actions[HEAD].to(torch.int64)
        choice = torch.where(self._legal_choice(choice), choice, 0)
        gain = self._payoff[choice[:, 0], choice[:, 1]]
        self._total += gain
        self._round += 1
        self._last.copy_(choice + 1)
        over = self._round >= self.config.rounds
        winner = torch.where(self._total > 0, _FIRST_WON, _SECOND_WON)
        winner = torch.where(self._total.abs() <= _NOTHING, _DRAW, winner)
        self._payoffs.append(gain.mean())
        final = self._observe()
        for state in (self._round, self._last, self._total):
            state.masked_fill_(over.view(-1, *(1,) * (state.ndim - 1)), 0)  # an index of truth values would be counted
        ended = over.unsqueeze(1).expand(-1, 2)
        return GameStep(
            observation=self._observe(),
            masks=self._masks(),
            reward=torch.stack([gain, -gain], 1).float(),
            terminated=ended,
            truncated=torch.zeros_like(ended),
            final_observation=final,
            alive=torch.ones_like(ended),
            outcome=torch.where(over, winner, 0),
        )

    def _observe(self) -> Tensor:
        now = self._round.clamp(max=self.config.rounds - 1).unsqueeze(1)
        last = self._last if self.config.rounds > 1 else torch.zeros_like(self._last)
        return self._features[self._seats, now, last, last.flip(1)]

    def _masks(self) -> dict[str, Tensor]:
        return {HEAD: self._legal.expand(self.num_games, 2, -1).clone()} if self.config.masked else {}

    def _legal_choice(self, choice: Tensor) -> Tensor:
        inside = (choice >= 0) & (choice < self.config.choices)
        return inside & self._legal[self._seats, choice.clamp(0, self.config.choices - 1)]

    def pilot_actions(self, name: str, seats: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002 - draws for all
        """Returns what a scripted opponent would choose at every seat, whichever ``seats`` are wanted.

        Raises:
            ValueError: An unknown name.
        """
        if name not in PILOTS:
            raise ValueError(f"unknown pilot: {name!r}. Allowed: {', '.join(PILOTS)}")
        shares = self._legal.double()
        if name == "nash":
            shares = torch.zeros_like(shares)
            for seat, mixture in enumerate(self.config.equilibrium[:2]):
                shares[seat, : len(mixture)] = torch.as_tensor(mixture)
        drawn = [
            torch.multinomial(shares[seat], self.num_games, replacement=True, generator=self._random) for seat in (0, 1)
        ]
        return {HEAD: torch.stack(drawn, 1)}

    def everything_seen(self) -> Observations:
        """Returns all that a policy may ever see ``[B, 1, F]``: the questions that :meth:`exploitability` has."""
        features = self._features.reshape(-1, 1, self.observation_dim)
        per_seat = features.shape[0] // 2
        legal = self._legal.repeat_interleave(per_seat, 0).unsqueeze(1)
        return Observations(features, {HEAD: legal} if self.config.masked else {})

    def exploitability(self, probabilities: Tensor) -> float:
        """Returns the exact exploitability of a policy, see :meth:`MatrixConfig.exploitability`.

        Args:
            probabilities: What it does where it sees :meth:`everything_seen` ``[B, K]``.
        """
        shape = (*self.config.features.shape[:-1], self.config.choices)
        return self.config.exploitability(probabilities.double().cpu().numpy().reshape(shape))

    def set_progress(self, progress: float) -> None:
        """Nothing: the rewards are what they are."""

    def pop_statistics(self) -> dict[str, float]:
        """Returns the mean payoff of the first seat per round since the last call."""
        taken, self._payoffs = self._payoffs, []
        return {"first_seat_payoff": float(torch.stack(taken).mean()) if taken else float("nan")}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {
            "round": self._round.clone(),
            "last": self._last.clone(),
            "total": self._total.clone(),
            "random": self._random.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a state of a game of the same options and size.

        Raises:
            ValueError: A state of another number of games.
        """
        if len(state["round"]) != self.num_games:
            raise ValueError(f"num_games: the state is of {len(state['round'])} games, here are {self.num_games}")
        for own, name in ((self._round, "round"), (self._last, "last"), (self._total, "total")):
            own.copy_(state[name])
        self._random.set_state(state["random"])
        self._payoffs = []


def uniform(config: MatrixConfig) -> np.ndarray:
    """Returns what the ``random`` pilot does, in the form that :meth:`MatrixConfig.exploitability` takes."""
    shares = config.legal / config.legal.sum(-1, keepdims=True)
    return np.broadcast_to(shares[:, None, None, None, :], (*config.features.shape[:-1], config.choices))
