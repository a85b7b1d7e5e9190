"""Players and random streams for tests of self-play."""

import numpy as np
import torch

_SURE = 60.0


def numpy_stream(seed):
    return np.random.Generator(np.random.PCG64(seed))


@torch.no_grad()
def set_preference(policy, head, choice):
    """Makes a policy take one choice of a discrete head in every state; the other heads stay as they are."""
    start = 0
    for each in policy.action_heads.heads:
        if each.name == head:
            columns = slice(start, start + each.num_params)
            policy.actor.weight[columns] = 0.0
            policy.actor.bias[columns] = -_SURE
            policy.actor.bias[start + choice] = _SURE
        start += each.num_params
