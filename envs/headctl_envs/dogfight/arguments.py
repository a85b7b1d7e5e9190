"""Checks of what callers hand to the engine: one line that names the argument, its value and what is allowed."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headctl_envs.dogfight.config import DogfightConfig

LARGEST = 2**31 - 1
"""The kernels count in 32 bits."""


def whole_number(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Returns ``value`` as an int.

    Args:
        name: The argument's name, for the message.
        value: What the caller gave.
        low: Least allowed value, if there is one.
        high: Largest allowed value, if there is one.

    Raises:
        ValueError: If it is not a whole number, or not within the bounds.
    """
    allowed = "any whole number"
    if low is not None and high is not None:
        allowed = f"a whole number from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        problem = f"{name} = {value!r} is not a whole number; allowed: {allowed}"
        raise ValueError(problem)  # noqa: TRY004 - a wrong value, as any other
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} = {value!r} is out of range; allowed: {allowed}")
    return int(value)


def share(name: str, value: object) -> float:
    """Returns a share as a float; less than 0 and more than 1 are the caller's business.

    Raises:
        ValueError: If it is not a finite number.
    """
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]  - what is no number is told
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} = {value!r} is not a number; allowed: a share from 0 to 1")
    return number


def options_of(config: object) -> DogfightConfig:
    """Returns the configuration, the defaults if it is ``None``.

    Raises:
        TypeError: If it is something else.
    """
    if config is None:
        return DogfightConfig()
    if not isinstance(config, DogfightConfig):
        raise TypeError(f"config = {config!r} is no DogfightConfig; DogfightConfig.from_mapping(options) makes one")
    return config


def device_of(device: object) -> torch.device:
    """Returns the device that is meant.

    Raises:
        ValueError: If there is no such device, here or at all.
    """
    allowed = "allowed: 'cpu', 'cuda', 'cuda:0' and so on"
    if not isinstance(device, str | torch.device):
        raise ValueError(f"device = {device!r} is no device; {allowed}")  # noqa: TRY004 - a wrong value, as any other
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device = {device!r} is unknown; {allowed}") from None
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"device = {device!r} cannot run the dogfight; {allowed}")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device = {device!r}: torch sees {torch.cuda.device_count()} CUDA devices here")
    return found


def check_action(head: str, given: object, buffer: Tensor) -> None:
    """Refuses what cannot be copied into the engine's buffer of a head.

    Raises:
        ValueError: If it is no tensor, of another shape or of the wrong kind of number.
    """
    if not isinstance(given, Tensor):
        raise ValueError(  # noqa: TRY004 - a wrong value, as any other
            f"actions[{head!r}] is of type {type(given).__name__}, needed a torch tensor {list(buffer.shape)}"
        )
    if given.shape != buffer.shape:
        raise ValueError(f"actions[{head!r}] has shape {tuple(given.shape)}, needed {tuple(buffer.shape)}")
    if given.is_complex() or (buffer.dtype == torch.int64 and given.is_floating_point()):
        kind = "an integer type" if buffer.dtype == torch.int64 else "real numbers"
        raise ValueError(f"actions[{head!r}] is {given.dtype}, needed {kind}")


def stored_tensors(state: object, needed: Mapping[str, Tensor]) -> Mapping[str, Any]:
    """Returns the tensors of a stored state.

    Raises:
        ValueError: If one is missing or has another shape than the engine's.
    """
    stored = state.get("tensors", {}) if isinstance(state, Mapping) else {}
    for name, tensor in needed.items():
        if name not in stored:
            raise ValueError(f"state lacks {name!r}; needed: what state_dict() returned")
        if stored[name].shape != tensor.shape:
            raise ValueError(
                f"state[{name!r}] has shape {tuple(stored[name].shape)}, this engine needs {tuple(tensor.shape)}"
            )
    return stored
