"""Action layouts: the same three heads as a ``Dict``, a ``MultiDiscrete`` or one ``Discrete``.

Libraries differ in the spaces that they take, and in where they look for masks. Every layout decodes to the same three
numbers, ``(maneuver, weapon, params)``, so all of them play the same game.

Shape legend: A seats, D features, K maneuvers, W weapon choices, B bins per residual, P residuals (3).

========================  ==============================  ===========================================================
``action_layout``         action of an agent              observation of an agent
========================  ==============================  ===========================================================
``dict`` (default)        Dict(maneuver, params, weapon)  Dict(mask_maneuver [K], mask_weapon [W], observation [D])
``multidiscrete``         MultiDiscrete([K, W, B, B, B])  Dict(mask_action [K + W + 3 B], observation [D])
``flat``                  Discrete(K W B^3)               Box [D]; with ``observe_masks=True``
                                                          Dict(action_mask [K W B^3], observation [D])
========================  ==============================  ===========================================================

The key ``action_mask`` stands only where PettingZoo's tests and TorchRL agree on its meaning: beside a ``Discrete``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from headctl_envs.dogfight.config import OptionError

LAYOUTS = ("dict", "multidiscrete", "flat")
"""Names of the action layouts."""

OBSERVATION_LIMIT = 10.0
"""Bound of the observation space; features are of order one and are clipped here only to keep this promise."""

BINS_MAX = 101

Observation = Any
"""A dict of arrays, or one array where masks are not observed."""


class Decoded(NamedTuple):
    """An action in the engine's terms. Codes that do not exist count as maneuver 0 and weapon ``hold``."""

    maneuver: int
    weapon: int
    params: Any


class ActionError(ValueError):
    """An action of the wrong shape or type: ``part`` of it is ``value``, and ``needed`` says what belongs there."""

    def __init__(self, part: str, value: object, needed: object) -> None:
        told = " ".join(repr(value).split())  # arrays would take several lines
        super().__init__(f"has {part} = {told}, needed {needed}")


class Layout(ABC):
    """How actions and masks look to an agent.

    Args:
        choices: Number of choices of ``maneuver`` and of ``weapon``, K and W.
        dims: Number of residuals P.
        features: Number of features D.
        bins: Bins per residual B; only for layouts without continuous actions.
        observe_masks: Whether observations are Dicts that hold the masks, or the features alone.
    """

    def __init__(self, choices: tuple[int, int], dims: int, features: int, bins: int, *, observe_masks: bool) -> None:
        self.choices, self.dims, self.features, self.bins = choices, dims, features, bins
        self.observe_masks = observe_masks
        self._values: list[float] = np.linspace(-1.0, 1.0, bins).tolist() if bins > 1 else [0.0]
        self._space = self.action_space()

    @abstractmethod
    def action_space(self) -> gymnasium.Space[Any]:
        """Returns a new action space."""

    @abstractmethod
    def mask_sizes(self) -> dict[str, int]:
        """Returns the number of entries of every mask, by its key in the observation."""

    @abstractmethod
    def decode(self, action: Any) -> Decoded:
        """Returns an action in the engine's terms.

        Raises:
            ActionError: If it has the wrong shape or type.
        """

    def check(self, action: Any) -> None:
        """Refuses what :meth:`decode` tolerates: choices that do not exist.

        Raises:
            ActionError: If the action is not in the action space, whatever the width of its numbers.
        """
        if not self._space.contains(np.asarray(action).astype(np.int64)):
            raise ActionError("the value", action, self._space)

    @abstractmethod
    def masks(self, maneuver: NDArray[np.int8], weapon: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """Returns the masks of one seat from those of its two discrete heads, [K] and [W]."""

    def observation_space(self) -> gymnasium.Space[Any]:
        """Returns a new observation space."""
        box = spaces.Box(-OBSERVATION_LIMIT, OBSERVATION_LIMIT, (self.features,), np.float32)
        if not self.observe_masks:
            return box
        masks = {key: spaces.Box(0, 1, (size,), np.int8) for key, size in self.mask_sizes().items()}
        return spaces.Dict({"observation": box, **masks})

    def observation(
        self, features: NDArray[np.float32], maneuver: NDArray[np.int8], weapon: NDArray[np.int8]
    ) -> Observation:
        """Returns the observation of one seat from its clipped features [D] and the masks of its heads."""
        if not self.observe_masks:
            return features
        return {"observation": features, **self.masks(maneuver, weapon)}


class DictLayout(Layout):
    """The heads as they are."""

    _NAMES = ("maneuver", "params", "weapon")

    def action_space(self) -> gymnasium.Space[Any]:
        """Dict(maneuver: Discrete, params: Box, weapon: Discrete)."""
        maneuver, weapon = self.choices
        return spaces.Dict(
            {
                "maneuver": spaces.Discrete(maneuver),
                "weapon": spaces.Discrete(weapon),
                "params": spaces.Box(-1.0, 1.0, (self.dims,), np.float32),
            }
        )

    def mask_sizes(self) -> dict[str, int]:
        """One mask per discrete head."""
        return {"mask_maneuver": self.choices[0], "mask_weapon": self.choices[1]}

    def decode(self, action: Any) -> Decoded:
        """Takes the three heads by name."""
        if not isinstance(action, Mapping):
            raise ActionError("the value", action, f"a mapping with the heads {', '.join(self._NAMES)}")
        if len(action) != len(self._NAMES) or any(name not in action for name in self._NAMES):
            raise _heads_error(action, self._NAMES)
        return Decoded(
            whole(action["maneuver"], "maneuver", self.choices[0]),
            whole(action["weapon"], "weapon", self.choices[1]),
            residuals(action["params"], self.dims),
        )

    def check(self, action: Any) -> None:
        """Refuses choices that do not exist, and residuals that are out of range or not numbers."""
        for part, choices in zip(("maneuver", "weapon"), self.choices, strict=True):
            if not 0 <= int(np.asarray(action[part]).item()) < choices:
                raise ActionError(part, action[part], f"Discrete({choices})")
        params = np.asarray(action["params"])
        if not (np.abs(params) <= 1.0).all():
            raise ActionError("params", action["params"], f"numbers from -1 to 1, {self.dims} of them")

    def masks(self, maneuver: NDArray[np.int8], weapon: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """Both masks as they are."""
        return {"mask_maneuver": maneuver, "mask_weapon": weapon}


class MultiDiscreteLayout(Layout):
    """[maneuver, weapon, one bin per residual]; bins are equally spaced from -1 to 1."""

    def action_space(self) -> gymnasium.Space[Any]:
        """MultiDiscrete([K, W, B, B, B])."""
        return spaces.MultiDiscrete([*self.choices, *[self.bins] * self.dims])

    def mask_sizes(self) -> dict[str, int]:
        """One mask, the parts behind one another, as maskable learners take it."""
        return {"mask_action": sum(self.choices) + self.bins * self.dims}

    def decode(self, action: Any) -> Decoded:
        """Takes the parts in order; a bin that does not exist counts as nominal."""
        array = _array(action)
        if array is None or array.shape != (2 + self.dims,) or array.dtype.kind not in "iu":
            raise ActionError("the value", action, self._space)
        maneuver, weapon, *bins = array.tolist()
        values = [self._values[index] if 0 <= index < self.bins else 0.0 for index in bins]
        return Decoded(_bounded(maneuver, self.choices[0]), _bounded(weapon, self.choices[1]), values)

    def masks(self, maneuver: NDArray[np.int8], weapon: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """Every bin is always legal."""
        return {"mask_action": np.concatenate([maneuver, weapon, np.ones(self.bins * self.dims, np.int8)])}


class FlatLayout(Layout):
    """One number: ``(maneuver * W + weapon) * B^P + bins``, the bins in base B, the last residual fastest."""

    def action_space(self) -> gymnasium.Space[Any]:
        """Discrete(K W B^P)."""
        return spaces.Discrete(self._size)

    @property
    def _cells(self) -> int:
        return self.bins**self.dims

    @property
    def _size(self) -> int:
        return self.choices[0] * self.choices[1] * self._cells

    def mask_sizes(self) -> dict[str, int]:
        """One mask over all combinations."""
        return {"action_mask": self._size}

    def decode(self, action: Any) -> Decoded:
        """Takes the number apart."""
        code = whole(action, "the value", self._size)
        if not 0 <= code < self._size:
            return Decoded(-1, -1, [0.0] * self.dims)
        pair, cell = divmod(code, self._cells)
        values = [0.0] * self.dims
        for axis in reversed(range(self.dims)):
            cell, index = divmod(cell, self.bins)
            values[axis] = self._values[index]
        return Decoded(*divmod(pair, self.choices[1]), values)

    def masks(self, maneuver: NDArray[np.int8], weapon: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        """Legal is a pair of legal choices, with any residuals."""
        return {"action_mask": np.repeat(np.multiply.outer(maneuver, weapon).reshape(-1), self._cells)}


def make_layout(
    name: str,
    *,
    choices: tuple[int, int],
    dims: int,
    features: int,
    params_bins: int | None,
    observe_masks: bool | None,
) -> Layout:
    """Returns the layout of that name.

    Args:
        name: One of ``LAYOUTS``.
        choices: Number of maneuvers and of weapon choices.
        dims: Number of residuals.
        features: Number of features.
        params_bins: Bins per residual; ``None`` is 5 for ``multidiscrete`` and 1 (always nominal) for ``flat``.
        observe_masks: Whether observations hold the masks; ``None`` is false for ``flat`` and true otherwise.

    Raises:
        OptionError: If there is no such layout, or ``params_bins`` is not allowed with it.
    """
    kinds: dict[str, type[Layout]] = {"dict": DictLayout, "multidiscrete": MultiDiscreteLayout, "flat": FlatLayout}
    if name not in kinds:
        raise unknown_name("value of action_layout", name, LAYOUTS)
    if params_bins is not None:
        allowed = f"allowed: a whole number from 1 to {BINS_MAX}"
        if isinstance(params_bins, bool) or not isinstance(params_bins, int | np.integer):
            raise OptionError(f"params_bins = {params_bins!r} is not a whole number; {allowed}")
        if not 1 <= params_bins <= BINS_MAX:
            raise OptionError(f"params_bins = {params_bins!r} is out of range; {allowed}")
        if name == "dict":
            raise OptionError(
                f"params_bins = {params_bins} contradicts action_layout = 'dict', whose params are continuous; "
                "leave it out, or take 'multidiscrete' or 'flat'"
            )
    if observe_masks is not None and not isinstance(observe_masks, bool):
        raise OptionError(f"observe_masks = {observe_masks!r} is neither true nor false; allowed: None, True, False")
    bins = int(params_bins) if params_bins is not None else {"multidiscrete": 5}.get(name, 1)
    masked = name != "flat" if observe_masks is None else observe_masks
    return kinds[name](choices, dims, features, bins, observe_masks=masked)


def whole(value: Any, part: str, choices: int) -> int:
    """Returns a choice as an int; one that does not exist becomes -1 or ``choices``.

    Raises:
        ActionError: If it is not a single whole number.
    """
    if type(value) is not int and not isinstance(value, np.integer):
        array = _array(value)
        if array is None or array.size != 1 or array.dtype.kind not in "iu":
            raise ActionError(part, value, f"Discrete({choices})")
        value = array.reshape(()).item()
    return _bounded(int(value), choices)


def residuals(value: Any, dims: int) -> NDArray[np.float32]:
    """Returns residuals [P] as float32, which the engine clips to [-1, 1]; NaN stays.

    Raises:
        ActionError: If the shape is not [P], or these are no numbers.
    """
    if type(value) is np.ndarray and value.dtype == np.float32 and value.shape == (dims,):
        return value
    array = _array(value)
    if array is None or array.shape != (dims,) or array.dtype.kind not in "fiu":
        raise ActionError("params", value, f"Box(-1.0, 1.0, ({dims},), float32)")
    return np.clip(array, -1.0, 1.0).astype(np.float32)  # clipped first: not all of float64 fits into float32


def unknown_name(what: str, name: object, known: Iterable[str]) -> OptionError:
    """Says that a name is unknown, what was probably meant, and what is allowed."""
    names = list(known)
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return OptionError(f"unknown {what}: {name!r}.{meant} Allowed: {', '.join(names)}")


def _array(value: Any) -> NDArray[Any] | None:
    """Returns the value as an array, ``None`` if it is none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, tensors that require gradients
        return None


def _bounded(code: int, choices: int) -> int:
    return min(max(code, -1), choices)


def _heads_error(action: Mapping[Any, Any], names: tuple[str, ...]) -> ValueError:
    """What is wrong with the keys of a Dict action."""
    for name in names:
        if name not in action:
            close = get_close_matches(name, [str(key) for key in action if key not in names], n=1)
            meant = f" (is it {close[0]!r}?)" if close else ""
            return ValueError(f"lacks the head {name!r}{meant}; needed: {', '.join(names)}")
    extra = [key for key in action if key not in names]
    return ValueError(f"has the unknown heads {extra}; needed: {', '.join(names)}")
