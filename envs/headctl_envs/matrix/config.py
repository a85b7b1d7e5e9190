"""A matrix game: what its seats see, and its answers.

Shapes: M choices of the first seat, N of the second, K = max(M, N), R rounds, F features.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headctl_envs.matrix.options import AGENTS, GAMES, HEAD, PILOTS, MatrixOptionError, MatrixOptions, heads
from headctl_envs.matrix.solution import Matrix, solve_zero_sum

__all__ = ["AGENTS", "GAMES", "HEAD", "PILOTS", "MatrixConfig", "MatrixOptionError", "heads"]


class MatrixConfig(MatrixOptions):
    """The options of a matrix game, and all that follows from them."""

    @cached_property
    def matrix(self) -> Matrix:
        """What the first seat gets ``[M, N]``."""
        return np.array(self.rows, np.float64)

    @property
    def symmetric(self) -> bool:
        """Whether both seats play the same game: ``A = -A^T``. They then see no difference between the seats."""
        return not self.masked and np.allclose(self.matrix, -self.matrix.T)

    @cached_property
    def legal(self) -> NDArray[np.bool_]:
        """Legal choices of both seats ``[2, K]``."""
        return np.arange(self.choices) < np.array(self.matrix.shape)[:, None]

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """All that a seat can ever see ``[2, R, K + 1, K + 1, F]``, by seat, round, own and the other's last choice.

        Index 0 of a choice is "none yet". The features are the seat (0 in a symmetric game, else 1 and -1), the share
        of rounds that is left and, where there are several rounds, both last choices one-hot.
        """
        memory = self.choices + 1 if self.rounds > 1 else 1
        size = 2 + (2 * self.choices if self.rounds > 1 else 0)
        table = np.zeros((2, self.rounds, memory, memory, size), np.float32)
        if not self.symmetric:
            table[0, ..., 0], table[1, ..., 0] = 1.0, -1.0
        table[..., 1] = (1.0 - np.arange(self.rounds) / self.rounds)[:, None, None]
        if self.rounds > 1:
            last = np.eye(memory, dtype=np.float32)[:, 1:]
            table[..., 2 : 2 + self.choices] = last[:, None, :]
            table[..., 2 + self.choices :] = last[None, :, :]
        return table

    @cached_property
    def equilibrium(self) -> tuple[Matrix, Matrix, float]:
        """Optimal mixtures of both seats ``[M]`` and ``[N]`` in one round, and its value for the first seat."""
        solved = solve_zero_sum(self.matrix)
        if solved is None:
            raise MatrixOptionError("payoff: its equilibrium cannot be computed; scale the numbers to about 1")
        return solved

    def exploitability(self, probabilities: NDArray[np.floating[Any]]) -> float:
        """Returns what best answers gain against a policy on average over both seats, per episode: NashConv / 2.

        Exact, by dynamic programming from the last round to the first. 0 for an equilibrium, never less. In a symmetric
        game of one round it is ``max(A p)``.

        Args:
            probabilities: What the policy does wherever it may be ``[2, R, K + 1, K + 1, K]``, see :attr:`features`.
        """
        return max(0.5 * (self._best(0, probabilities[1]) + self._best(1, probabilities[0])), 0.0)

    def _best(self, seat: int, theirs: NDArray[np.floating[Any]]) -> float:
        """Returns the most that a seat can get from the policy ``theirs`` ``[R, K + 1, K + 1, K]`` of the other."""
        payoff = self.matrix if seat == 0 else -self.matrix.T
        mine, others = payoff.shape
        later: Matrix = np.zeros((mine, others))
        for now in reversed(range(self.rounds)):
            gains = payoff + later  # by this round's choices of both
            # theirs is by *their* last choice first; values are wanted by mine first.
            values = np.einsum("bak,ik->abi", theirs[now, ..., :others], gains).max(-1)
            if now == 0:
                return float(values[0, 0])
            later = values[1 : mine + 1, 1 : others + 1]
        raise AssertionError("a game has a first round")
