"""Random streams of a run: all of them follow from its seed."""

import numpy as np
import torch


def integer(seed: np.random.SeedSequence) -> int:
    """Returns a seed for what takes a whole number below 2^31."""
    return int(seed.generate_state(1)[0]) % 2**31


def generator(seed: np.random.SeedSequence, device: torch.device | str) -> torch.Generator:
    """Returns a stream of torch's."""
    return torch.Generator(device=device).manual_seed(integer(seed))
