"""Frozen opponents: the pool of snapshots, who leaves it, and many of them acting in one batched call.

Shapes: P opponents in play at once, M rows per opponent, F features, K choices.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from headctl.policy.actions import Actions
from headctl.policy.network import Policy


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen policy.

    Attributes:
        agent_steps: Age: how many agent-steps the learner had taken.
        state: Weights and statistics of the normaliser; never changed after the copy.
    """

    agent_steps: int
    state: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """Unique in a run; sorts by age."""
        return f"{self.agent_steps:012d}"

    @classmethod
    def of(cls, policy: Policy, agent_steps: int) -> "Snapshot":
        """Freezes a copy of a policy as it is now."""
        return cls(agent_steps, {name: tensor.detach().cpu().clone() for name, tensor in policy.state_dict().items()})


class OpponentPool:
    """Snapshots of the learner's past, oldest first, at most ``capacity`` of them.

    When it is full, the snapshot leaves whose neighbours in age are closest together, so that the pool goes on spanning
    the whole past; the oldest and the newest always stay.
    """

    def __init__(self, capacity: int, random: np.random.Generator) -> None:
        """Creates an empty pool.

        Args:
            capacity: Largest number of snapshots, at least 1.
            random: Random stream of :meth:`draw`.

        Raises:
            ValueError: A capacity below 1.
        """
        if capacity < 1:
            raise ValueError(f"selfplay.pool_size: must be at least 1, got {capacity}")
        self.capacity = capacity
        self.snapshots: list[Snapshot] = []
        self._random = random

    def __len__(self) -> int:
        """Returns the number of snapshots."""
        return len(self.snapshots)

    def add(self, snapshot: Snapshot) -> None:
        """Takes in a snapshot younger than all others; may drop one.

        Raises:
            ValueError: A snapshot that is not the youngest.
        """
        if self.snapshots and snapshot.agent_steps <= self.snapshots[-1].agent_steps:
            youngest = self.snapshots[-1].agent_steps
            raise ValueError(f"a snapshot must be younger than {youngest} agent-steps, got {snapshot.agent_steps}")
        self.snapshots.append(snapshot)
        if len(self.snapshots) > self.capacity:
            del self.snapshots[self._most_redundant()]

    def _most_redundant(self) -> int:
        if len(self.snapshots) <= 2:
            return 0
        ages = [snapshot.agent_steps for snapshot in self.snapshots]
        gaps = [ages[index + 1] - ages[index - 1] for index in range(1, len(ages) - 1)]
        return 1 + int(np.argmin(gaps))

    def draw(self, count: int) -> list[Snapshot]:
        """Returns ``count`` snapshots, uniformly at random; different ones as far as the pool goes.

        Raises:
            ValueError: An empty pool.
        """
        if not self.snapshots:
            raise ValueError("the pool of opponents is empty: add a snapshot before drawing from it")
        rounds = -(-count // len(self.snapshots))
        order = [index for _ in range(rounds) for index in self._random.permutation(len(self.snapshots))]
        return [self.snapshots[index] for index in order[:count]]

    def state_dict(self) -> dict[str, Any]:
        """Returns names and random stream; the snapshots themselves are stored once each, by the run."""
        return {
            "snapshots": [snapshot.agent_steps for snapshot in self.snapshots],
            "random": self._random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any], snapshots: Sequence[Snapshot]) -> None:
        """Takes over a state; ``snapshots`` are those it names, in its order.

        Raises:
            ValueError: Other snapshots than the state names.
        """
        if [snapshot.agent_steps for snapshot in snapshots] != list(state["snapshots"]):
            raise ValueError(f"the state names the snapshots {list(state['snapshots'])}, got others")
        self.snapshots = list(snapshots)
        self._random.bit_generator.state = state["random"]


class OpponentStack:
    """P frozen policies of one architecture that act in one batched call, whatever P is."""

    def __init__(self, policy: Policy, slots: int) -> None:
        """Creates the stack, filled with copies of ``policy``.

        Args:
            policy: Gives architecture and heads; it is not kept.
            slots: P.
        """
        self._heads = policy.action_heads
        # On the meta device the base has the architecture and no weights: every weight comes from the stack.
        self._base = deepcopy(policy).to("meta")
        params, buffers = stack_module_state([policy] * slots)  # pyright: ignore[reportArgumentType] - a list of modules is one
        self._state: dict[str, Tensor] = {name: part.detach().clone() for name, part in (params | buffers).items()}

    def load(self, slot: int, snapshot: Snapshot) -> None:
        """Puts a snapshot into a slot."""
        for name, stacked in self._state.items():
            stacked[slot] = snapshot.state[name].to(stacked.device)

    @torch.no_grad()
    def act(self, observation: Tensor, masks: Mapping[str, Tensor], generator: torch.Generator) -> Actions:
        """Draws actions of every opponent for its own rows.

        Args:
            observation: ``[P, M, F]``.
            masks: bool ``[P, M, K]`` for heads that are masked.
            generator: Random stream.

        Returns:
            Actions ``[P, M, ...]``.
        """

        def outputs(state: dict[str, Tensor], rows: Tensor) -> Tensor:
            return functional_call(self._base, state, (rows,))[0]

        params = vmap(outputs)(self._state, observation)
        return self._heads.sample(params, masks, generator)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns copies of the stacked weights."""
        return {name: stacked.clone() for name, stacked in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the weights of a stack of the same size."""
        for name, stacked in self._state.items():
            stacked.copy_(state[name])
