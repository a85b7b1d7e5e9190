"""Frozen opponents: the pool of snapshots, who leaves it, and many of them acting in one batched call.

Shapes: P opponents in play at once, M rows per opponent, F features, K choices, D size of a memory.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from headctl.policy.actions import Actions
from headctl.policy.draws import Draws
from headctl.policy.network import Policy
from headctl.policy.recurrent import gated
from headctl.policy.scaled_critic import CRITIC_UNITS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen policy.

    Attributes:
        agent_steps: Age: how many agent-steps the run's main learner had taken.
        state: Weights and statistics of the normaliser; never changed after the copy.
        label: Name of a policy that is not the main learner's own past; ``""`` for those.
        scheme: What its observations and actions are, see :func:`scheme_of`; empty where nobody wrote it down.
    """

    agent_steps: int
    state: Mapping[str, Tensor]
    label: str = ""
    scheme: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique in a run; sorts by age."""
        return self.label or f"{self.agent_steps:012d}"

    @classmethod
    def of(cls, policy: Policy, agent_steps: int, label: str = "") -> "Snapshot":
        """Freezes a copy of a policy as it is now."""
        state = {name: tensor.detach().cpu().clone() for name, tensor in acting_state(policy.state_dict()).items()}
        return cls(agent_steps, state, label, scheme_of(policy))


@dataclass(frozen=True, slots=True)
class Pilot:
    """A scripted opponent of the game that sits in a slot like a frozen policy.

    Attributes:
        name: One of the game's ``pilot_names``.
    """

    name: str


Opponent = Snapshot | Pilot


def acting_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what of a policy's state it takes to play: all but the units in which its critic learns."""
    return {name: entry for name, entry in state.items() if name not in CRITIC_UNITS}


def scheme_of(policy: Policy) -> dict[str, Any]:
    """Returns what a policy sees and does, as plain data: two policies may meet only where this is the same.

    The shapes of the weights say less: two heads may have the same sizes and other names, or another order.
    """
    heads, memory = policy.action_heads, policy.memory
    return {
        "observation": policy.normalizer.mean.shape[0],
        "heads": [[head.name, type(head).__name__, head.num_params] for head in heads.heads],
        "activation": [type(layer).__name__ for layer in policy.trunk if not isinstance(layer, nn.Linear)],
        **({} if memory is None else {"memory": ["gru", memory.size]}),
    }


def check_same_scheme(snapshot: Snapshot, policy: Policy) -> None:
    """Makes sure that a frozen policy can play in the place of a policy.

    Raises:
        ValueError: Other observations, heads or network, in one line that says which.
    """
    mine = scheme_of(policy)
    memories = [_memory_of(scheme) for scheme in (snapshot.scheme, mine)]
    if snapshot.scheme and memories[0] != memories[1]:
        raise ValueError(f"opponent {snapshot.name}: it has {memories[0]}, the policies of this run have {memories[1]}")
    for key, value in mine.items():
        theirs = snapshot.scheme.get(key, value)
        if theirs != value:
            raise ValueError(f"opponent {snapshot.name}: its {key} are {theirs}, here they are {value}")
    weights = acting_state(policy.state_dict())
    for name in weights.keys() ^ snapshot.state.keys():
        raise ValueError(f"opponent {snapshot.name}: {name} is in one network and not in the other")
    for name, weight in weights.items():
        other = snapshot.state[name]
        if other.shape != weight.shape or other.dtype != weight.dtype:
            raise ValueError(
                f"opponent {snapshot.name}: {name} has the shape {list(other.shape)}, here {list(weight.shape)}: "
                "another network, game or set of heads"
            )


def _memory_of(scheme: Mapping[str, Any]) -> str:
    """Returns in words what a policy remembers with."""
    kind, size = scheme.get("memory") or ("", 0)
    return f"a memory ({kind} of {size})" if kind else "no memory"


class OpponentPool:
    """Snapshots of a run's past, oldest first, at most ``capacity`` of them.

    When it is full, one leaves so that the ages of the others stay spaced like logarithms: the recent past densely,
    the far past thinly. The oldest and the newest always stay, and so do those that somebody holds fast.

    Attributes:
        capacity: Largest number of snapshots.
        snapshots: Oldest first.
        random: Random stream of draws.
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
        self.random = random

    def __len__(self) -> int:
        """Returns the number of snapshots."""
        return len(self.snapshots)

    def add(self, snapshot: Snapshot, keep: Collection[str] = ()) -> Snapshot | None:
        """Takes in a snapshot no older than all others.

        Args:
            snapshot: The new one.
            keep: Names of snapshots that shall stay.

        Returns:
            The snapshot that had to leave for it.

        Raises:
            ValueError: A snapshot that is older than another, or a name that is taken.
        """
        youngest = self.snapshots[-1].agent_steps if self.snapshots else -1
        if snapshot.agent_steps < youngest or (snapshot.name in self.names and not snapshot.label):
            raise ValueError(f"a snapshot must be younger than {youngest} agent-steps, got {snapshot.agent_steps}")
        if snapshot.name in self.names:
            raise ValueError(f"there is a snapshot {snapshot.name!r} already")
        self.snapshots.append(snapshot)
        if len(self.snapshots) <= self.capacity:
            return None
        return self.snapshots.pop(self._most_redundant(keep))

    @property
    def names(self) -> list[str]:
        """Names of the snapshots, oldest first."""
        return [snapshot.name for snapshot in self.snapshots]

    def _most_redundant(self, keep: Collection[str]) -> int:
        """Returns whose leaving makes the smallest hole among the logarithms of the ages.

        Where everybody is held fast, the one who is so as if nobody were: a cap is a cap.
        """
        if len(self.snapshots) <= 2:
            return 0
        steps = np.array([snapshot.agent_steps for snapshot in self.snapshots], np.float64)
        ages = steps[-1] - steps
        # In units of the newest distance, so that evenly taken snapshots have the ages 0, 1, 2, 3 ...
        unit = min((age for age in ages if age > 0.0), default=1.0)
        places = np.log1p(ages / unit)
        # Rounded: which of two equal holes is taken must not depend on the last bit of a machine's logarithm.
        holes = {index: round(float(places[index - 1] - places[index + 1]), 9) for index in range(1, len(places) - 1)}
        free = {index: hole for index, hole in holes.items() if self.snapshots[index].name not in keep}
        return min(free or holes, key=(free or holes).__getitem__)

    def draw(self, count: int) -> list[Snapshot]:
        """Returns ``count`` snapshots, uniformly at random; different ones as far as the pool goes.

        Raises:
            ValueError: An empty pool.
        """
        if not self.snapshots:
            raise ValueError("the pool of opponents is empty: add a snapshot before drawing from it")
        rounds = -(-count // len(self.snapshots))
        order = [index for _ in range(rounds) for index in self.random.permutation(len(self.snapshots))]
        return [self.snapshots[index] for index in order[:count]]

    def state_dict(self) -> dict[str, Any]:
        """Returns names and random stream; the snapshots themselves are stored once each, by the run."""
        return {
            "snapshots": self.names,
            "random": self.random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any], snapshots: Sequence[Snapshot]) -> None:
        """Takes over a state; ``snapshots`` are those it names, in its order.

        Raises:
            ValueError: Other snapshots than the state names.
        """
        if [snapshot.name for snapshot in snapshots] != list(state["snapshots"]):
            raise ValueError(f"the state names the snapshots {list(state['snapshots'])}, got others")
        self.snapshots = list(snapshots)
        self.random.bit_generator.state = state["random"]


_REMEMBERED = "remembered"
"""Beside the names of the weights: what the opponents remember."""


class OpponentStack:
    """P frozen policies of one architecture that act in one batched call, whatever P is.

    Each layer is one batched matrix product over the stacked weights of all of them. What policies with memory
    remember is kept here, for every row.

    Attributes:
        state: What is remembered, float32 ``[P, M, D]``; ``None``: they have no memory.
    """

    def __init__(self, policy: Policy, slots: int, rows: int = 1) -> None:
        """Creates the stack, filled with copies of ``policy``.

        Args:
            policy: Gives architecture and heads; it is not kept.
            slots: P.
            rows: M, for policies with memory: theirs are always the same rows.
        """
        self._heads = policy.action_heads
        self.state = policy.initial_state(slots, rows)
        # On the meta device the base has the architecture and no weights: every weight comes from the stack.
        self._base = deepcopy(policy).to("meta")
        params, buffers = stack_module_state([policy] * slots)  # pyright: ignore[reportArgumentType] - a list of modules is one
        self._state: dict[str, Tensor] = {
            name: part.detach().clone() for name, part in acting_state(params | buffers).items()
        }

    def load(self, slot: int, snapshot: Snapshot) -> None:
        """Puts a snapshot into a slot."""
        for name, stacked in self._state.items():
            stacked[slot] = snapshot.state[name].to(stacked.device)

    def forget(self, rows: Tensor) -> None:
        """Empties what is remembered in some rows: an episode is over there, or another opponent takes over.

        Args:
            rows: bool ``[P, M]``, or anything that broadcasts to it.
        """
        if self.state is not None:
            self.state = self.state.masked_fill(rows.unsqueeze(-1), 0.0)

    @torch.no_grad()
    def act(self, observation: Tensor, masks: Mapping[str, Tensor], generator: Draws | None) -> Actions:
        """Draws actions of every opponent for its own rows, or takes the most likely ones; remembers what it saw.

        Args:
            observation: ``[P, M, F]``.
            masks: bool ``[P, M, K]`` for heads that are masked.
            generator: Random stream; ``None``: the most likely actions.

        Returns:
            Actions ``[P, M, ...]``.
        """
        outputs = self._outputs(observation)
        return self._heads.mode(outputs, masks) if generator is None else self._heads.sample(outputs, masks, generator)

    def _outputs(self, observation: Tensor) -> Tensor:
        """Returns the joint outputs of the heads of all opponents ``[P, M, ...]``."""
        state = self._state
        features = self._base.normalizer.normal(
            observation, state["normalizer.mean"].unsqueeze(1), state["normalizer.variance"].unsqueeze(1)
        )
        for name, layer in self._base.trunk.named_children():
            features = self._linear(f"trunk.{name}", features) if isinstance(layer, nn.Linear) else layer(features)
        if self.state is not None:
            of_state = self._linear("memory.of_state", self.state)
            features = self.state = gated(self._linear("memory.of_input", features), of_state, self.state)
        return self._linear("actor", features)

    def _linear(self, name: str, features: Tensor) -> Tensor:
        weight, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))

    def state_dict(self) -> dict[str, Tensor]:
        """Returns copies of the stacked weights, and of what is remembered."""
        state = {name: stacked.clone() for name, stacked in self._state.items()}
        return state if self.state is None else {**state, _REMEMBERED: self.state.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the state of a stack of the same size."""
        for name, stacked in self._state.items():
            stacked.copy_(state[name])
        if self.state is not None:
            self.state = state[_REMEMBERED].to(self.state.device, copy=True)
