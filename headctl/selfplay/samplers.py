"""Who is played next: rules that give every opponent a probability, and their mixture. Free of torch.

Shapes: P opponents. Every rule returns probabilities ``[P]`` that add up to 1, or zeros where none of the opponents is
for it. None of them ever returns NaN, whatever the learner has won or lost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from headctl.messages import unknown_name

Vector = NDArray[np.float64]
PfspKind = Literal["hard", "variance", "linear_capped"]
OpponentKind = Literal["snapshot", "anchor", "pilot"]


@dataclass(frozen=True, slots=True)
class Standings:
    """What a sampler may look at.

    Attributes:
        names: Opponents in a fixed order; snapshots among them from the oldest to the newest.
        kinds: ``snapshot`` of this run, ``anchor`` or ``pilot``; an anchor of this run's own counts as both of the
            former and is in ``anchored``.
        win_rates: The learner's smoothed score against each ``[P]``, strictly between 0 and 1.
        nash: Nash mixture of the payoff matrix ``[P]``; zeros where it is not known.
        anchored: Names of the run's own snapshots that are anchors.
    """

    names: tuple[str, ...]
    kinds: tuple[OpponentKind, ...]
    win_rates: Vector
    nash: Vector
    anchored: frozenset[str] = frozenset()

    def are(self, *kinds: OpponentKind) -> NDArray[np.bool_]:
        """Returns which opponents are of one of these kinds ``[P]``."""
        return np.array([kind in kinds for kind in self.kinds], np.bool_)


class Sampler(Protocol):
    """A rule that says how probable every opponent is."""

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``: probabilities, or zeros where none of the opponents is for this rule."""
        ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every frozen policy alike: fictitious self-play (Heinrich, Lanctot & Silver 2015)."""

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``."""
        return spread(standings.are("snapshot", "anchor").astype(np.float64))


@dataclass(frozen=True, slots=True)
class Window:
    """The newest ``size`` snapshots alike."""

    size: int = 4

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``."""
        weights = np.zeros(len(standings.names))
        weights[np.flatnonzero(standings.are("snapshot"))[-self.size :]] = 1.0
        return spread(weights)


@dataclass(frozen=True, slots=True)
class PrioritizedFictitious:
    """Prioritised fictitious self-play over the frozen policies (Vinyals et al. 2019, methods, "PFSP")."""

    kind: PfspKind = "hard"
    power: float = 2.0
    floor: float = 0.05

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``."""
        chosen = standings.are("snapshot", "anchor")
        drawn = pfsp(standings.win_rates[chosen], self.kind, power=self.power)
        return _placed(with_floor(drawn, self.floor), chosen)


@dataclass(frozen=True, slots=True)
class Nash:
    """The Nash mixture of the payoff matrix, over the frozen policies."""

    floor: float = 0.05

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``; uniform where the mixture lies on nobody of them."""
        chosen = standings.are("snapshot", "anchor")
        return _placed(with_floor(spread(standings.nash[chosen], else_even=True), self.floor), chosen)


@dataclass(frozen=True, slots=True)
class Pilots:
    """The scripted opponents of the game, all alike."""

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``."""
        return spread(standings.are("pilot").astype(np.float64))


@dataclass(frozen=True, slots=True)
class Anchors:
    """The named policies that never leave, all alike."""

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``."""
        own = np.array([name in standings.anchored for name in standings.names], np.bool_)
        return spread((standings.are("anchor") | own).astype(np.float64))


def pfsp(win_rates: Vector, kind: PfspKind, *, power: float = 2.0) -> Vector:
    """Returns the probabilities of prioritised fictitious self-play (Vinyals et al. 2019).

    ``hard``: ``(1 - w)^power``, ``variance``: ``w (1 - w)``, ``linear_capped``: ``min(1/2, 1 - w)``, normalised. The
    weight of an opponent does not depend on how many others there are, so neither does the sharpness of the rule.

    Args:
        win_rates: The learner's score against every opponent ``[P]``, in [0, 1].
        kind: Which of the three.
        power: Sharpness of ``hard``.

    Returns:
        ``[P]``, adding up to 1; uniform where every weight is 0 (all won, for two of the rules).

    Raises:
        ValueError: An unknown kind, or a score outside [0, 1].
    """
    rates = np.asarray(win_rates, np.float64)
    if not bool(((rates >= 0.0) & (rates <= 1.0)).all()):
        raise ValueError(f"win_rates: must lie in [0, 1], got {rates.tolist()}")
    if kind == "hard":
        lost = 1.0 - rates
        most = lost.max(initial=0.0)
        # Divided by the largest first: its power is 1, so that the sum cannot vanish, however sharp the rule is.
        weights = (lost / most) ** power if most > 0.0 else lost
    elif kind == "variance":
        weights = rates * (1.0 - rates)
    elif kind == "linear_capped":
        weights = np.minimum(0.5, 1.0 - rates)
    else:
        raise ValueError(f"kind: {unknown_name('kind of pfsp', kind, get_args(PfspKind))}")
    return spread(weights, else_even=True)


def spread(weights: Vector, *, else_even: bool = False) -> Vector:
    """Returns weights scaled to the sum 1; where they are all 0, zeros, or the same for all."""
    total = math.fsum(weights)  # exact: zeros of others change no digit
    if total > 0.0:
        return weights / total
    return np.full(len(weights), 1.0 / len(weights)) if else_even and len(weights) else np.zeros(len(weights))


def with_floor(probabilities: Vector, floor: float) -> Vector:
    """Returns probabilities of which none is below ``floor / P``: nobody is ever forgotten."""
    if not len(probabilities):
        return probabilities
    return (1.0 - floor) * probabilities + floor / len(probabilities)


def _placed(drawn: Vector, chosen: NDArray[np.bool_]) -> Vector:
    result = np.zeros(len(chosen))
    result[chosen] = drawn
    return result


@dataclass(frozen=True, slots=True)
class Mixture:
    """Several rules, mixed by weight.

    Attributes:
        parts: Weight and rule; the weights need not add up to 1.
    """

    parts: tuple[tuple[float, Sampler], ...] = field(default=((1.0, Uniform()),))

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, floor: float) -> "Mixture":
        """Reads ``selfplay.opponents`` as plain data; ``latest`` is no rule of a pool and is left out.

        Args:
            options: Rule -> weight, or a mapping with ``weight`` and the rule's own keys.
            floor: Share that prioritised rules spread evenly.
        """
        parts: list[tuple[float, Sampler]] = []
        for name, value in options.items():
            given = dict(value) if isinstance(value, Mapping) else {"weight": value}
            weight = float(given.pop("weight"))
            if weight <= 0.0 or name == "latest":
                continue
            made: dict[str, Sampler] = {
                "uniform": Uniform(),
                "window": Window(int(given.get("size", 4))),
                "pfsp": PrioritizedFictitious(given.get("kind", "hard"), float(given.get("power", 2.0)), floor),
                "nash": Nash(floor),
                "pilots": Pilots(),
                "anchors": Anchors(),
            }
            if name not in made:
                raise ValueError(f"selfplay.opponents: {unknown_name('sampler', name, ('latest', *made))}")
            parts.append((weight, made[name]))
        return cls(tuple(parts) or ((1.0, Uniform()),))

    def probabilities(self, standings: Standings) -> Vector:
        """Returns ``[P]``. The weight of a rule that has no opponent yet goes to the others.

        Raises:
            ValueError: There is no opponent for any of the rules.
        """
        total = np.zeros(len(standings.names))
        for weight, sampler in self.parts:
            total += weight * sampler.probabilities(standings)
        whole = math.fsum(total)
        if not whole > 0.0:
            raise ValueError("the league is empty: there is no opponent for any rule of selfplay.opponents")
        return total / whole


def draw(probabilities: Sequence[float] | Vector, count: int, random: np.random.Generator) -> list[int]:
    """Draws ``count`` indices so that each comes up as often as its probability says, give or take less than one.

    Systematic sampling (Madow 1949) in a random order: opponent ``i`` comes up ``floor(count p_i)`` or one time more,
    ``count p_i`` times on average. Even opponents are therefore different ones, as far as they go.

    Args:
        probabilities: ``[P]``, adding up to 1.
        count: How many.
        random: Random stream.

    Returns:
        Indices, in random order.
    """
    chances = np.asarray(probabilities, np.float64)
    # Who has no chance has no part in the order either: whether he is there changes nothing for the others.
    order = random.permutation(np.flatnonzero(chances > 0.0))
    edges = np.cumsum(chances[order])
    marks = (np.arange(count) + random.random()) / max(count, 1) * edges[-1]
    places = np.searchsorted(edges, marks, side="right")
    # Rounding may put the last mark on the last edge.
    return [int(order[min(int(place), len(order) - 1)]) for place in random.permutation(places)]
