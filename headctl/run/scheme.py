"""Whether a state from a file has the shape of the state that is to take it over.

``load_state_dict`` methods copy, and copying broadcasts: a tensor of one number would fill a whole network without a
word. So everything is compared first with the state that the run has now: the same keys, the same kinds of numbers,
the same shapes and dtypes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

GROWING = (
    "learner.optimizer.state",
    "learner.controller.reading",
    "learner.controller.agenda",
    "collector.game.history",
    "league",
    "scheme",
)
"""Parts that are empty at the beginning, or as long as the course of the run made them."""
_EXPLOITER = re.compile(r"^exploiters\.\w+\.")
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_LISTS = ("pool.snapshots", "collector.in_play", "collector.pilots")
_NEVER_NEGATIVE = ("normalizer.variance", "normalizer.count", ".exp_avg_sq", ".step")
_FINITE = (
    "learner.policy",
    "learner.optimizer",
    "learner.controller.log_alpha",
    "learner.controller.alpha",
    "collector.memory",
    "snapshot",
)


def check_scheme(state: object, like: object, path: str = "") -> None:
    """Compares a state with one of the same run.

    Args:
        state: From a file: plain data.
        like: What the run has now.
        path: Where both stand, for the message.

    Raises:
        ValueError: A difference, in one line that says where.
        TypeError: Something of another kind.
    """
    if isinstance(like, Tensor):
        _check_tensor(state, like, path)
    elif isinstance(like, Mapping):
        _check_mapping(state, like, path)
    elif isinstance(like, list | tuple):
        if not isinstance(state, list | tuple):
            raise TypeError(f"{path}: is {_kind(state)}, expected a list")
        if _as_of_main(path) in _LISTS:
            return
        if len(state) != len(like):
            raise ValueError(f"{path}: has {len(state)} entries, expected {len(like)}")
        for number, (entry, other) in enumerate(zip(state, like, strict=True)):
            check_scheme(entry, other, f"{path}[{number}]")
    elif like is not None and _number_or_kind(state) != _number_or_kind(like):
        raise ValueError(f"{path}: is {_kind(state)}, expected {_kind(like)}")


def _check_mapping(state: object, like: Mapping[Any, Any], path: str) -> None:
    if not isinstance(state, Mapping):
        raise TypeError(f"{path or 'the state'}: is {_kind(state)}, expected named entries")
    if _as_of_main(path).startswith(GROWING):
        _check_plain(state, path)
        return
    for missing in like.keys() - state.keys():
        raise ValueError(f"{_joined(path, missing)}: is missing")
    for unknown in state.keys() - like.keys():
        raise ValueError(f"{_joined(path, unknown)}: nothing of this name is known")
    for key, entry in like.items():
        check_scheme(state[key], entry, _joined(path, key))


def _check_tensor(state: object, like: Tensor, path: str) -> None:
    if not isinstance(state, Tensor):
        raise TypeError(f"{path}: is {_kind(state)}, expected a tensor")
    if state.dtype != like.dtype or state.shape != like.shape:
        raise ValueError(
            f"{path}: is {_kind(state)}, expected {_kind(like)}; it belongs to another network, game or set of heads"
        )
    check_finite(state, path)


def check_finite(tensor: Tensor, path: str) -> None:
    """Refuses weights and temperatures that are not numbers, and variances that are none.

    Raises:
        ValueError: NaN, infinity or a negative number where the run would be spoilt by it.
    """
    if not (_as_of_main(path).startswith(_FINITE) and tensor.is_floating_point()):
        return
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{path}: holds NaN or infinity")
    if path.endswith(_NEVER_NEGATIVE) and bool((tensor < 0.0).any()):
        raise ValueError(f"{path}: holds a negative number")


def check_counters(state: Mapping[str, Any]) -> None:
    """Refuses counts of a run that can never be.

    Raises:
        ValueError: A count that is negative or not finite.
    """
    counts = {name: state[name] for name in ("iteration", "restores", "elapsed_s")}
    counts |= {f"collector.{name}": state["collector"][name] for name in ("agent_steps", "iterations_left")}
    for role, exploiter in state["exploiters"].items():
        counts |= {f"exploiters.{role}.counts[{at}]": count for at, count in enumerate(exploiter["counts"])}
        left = exploiter["collector"]["iterations_left"]
        counts[f"exploiters.{role}.collector.iterations_left"] = left
    for path, count in counts.items():
        if not 0 <= count < math.inf:
            raise ValueError(f"{path}: is {count}")


def _check_plain(value: object, path: str) -> None:
    """Lets through plain data of any shape, without NaN in what the optimiser remembers."""
    if isinstance(value, Tensor):
        check_finite(value, path)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            _check_plain(entry, _joined(path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for entry in value:
            _check_plain(entry, path)
    elif isinstance(value, float) and math.isnan(value) and path.startswith("learner.optimizer"):
        raise ValueError(f"{path}: is NaN")


def check_optimizer(
    state: Mapping[str, Any], mine: Mapping[str, Any], parameters: Sequence[Tensor], path: str = "learner"
) -> None:
    """Compares what an optimiser remembers with the parameters that it belongs to, and its constants with the run's.

    Args:
        state: An optimiser's state dict.
        mine: That of the run's own optimiser.
        parameters: The parameters, in the optimiser's order.
        path: Where the learner stands.

    Raises:
        ValueError: A number that no parameter has, or a tensor of another shape.
        TypeError: Something else than a tensor.
    """
    for group, own in zip(state["param_groups"], mine["param_groups"], strict=True):
        for name, constant in own.items():
            if name != "lr" and _as_list(group[name]) != _as_list(constant):
                raise ValueError(f"{path}.optimizer.param_groups: {name} is {group[name]!r}, expected {constant!r}")
    for index, remembered in state["state"].items():
        if not isinstance(index, int) or not 0 <= index < len(parameters) or not isinstance(remembered, Mapping):
            raise ValueError(f"{path}.optimizer.state: has an entry {index!r} for {len(parameters)} parameters")
        if remembered.keys() != _ADAM:
            raise ValueError(f"{path}.optimizer.state.{index}: has {sorted(map(str, remembered))}")
        for name, entry in remembered.items():
            like = torch.zeros(()) if name == "step" else parameters[index].detach()
            _check_tensor(entry, like, f"{path}.optimizer.state.{index}.{name}")


def _as_list(constant: object) -> object:
    return list(constant) if isinstance(constant, tuple | list) else constant


def _as_of_main(path: str) -> str:
    """Returns a path in an exploiter's state as it is called in that of the main agent."""
    return _EXPLOITER.sub("", path)


def _joined(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _number_or_kind(value: object) -> str:
    """Whole numbers may stand where real ones are meant; truth values may not."""
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return {"NoneType": "nothing"}.get(type(value).__name__, type(value).__name__)
