import math

import numpy as np
import torch
from gymnasium import spaces

from headctl.policy.actions import ActionHeads, describe_space, resolve_heads
from headctl.policy.network import ObservationNormalizer

SPACE = spaces.Dict({"go": spaces.Discrete(2), "aim": spaces.Box(0.0, 10.0, (2,), np.float32)})


def test_nan_counts_as_the_mean_and_does_not_enter_the_statistics():
    normalizer, other = ObservationNormalizer(2), ObservationNormalizer(2)
    good = torch.tensor([[1.0, 10.0], [3.0, 30.0], [5.0, 20.0]])
    bad = torch.tensor([[math.nan, 15.0], [2.0, math.inf]])
    normalizer.update(torch.cat((good, bad)))
    other.update(good)
    for name, entry in normalizer.state_dict().items():
        assert torch.equal(entry, other.state_dict()[name]), name
    seen = normalizer(bad)
    assert torch.isfinite(seen).all()
    assert seen[0, 0] == 0.0
    assert seen[1, 1] == 10.0  # infinity is as far away as the clip lets it be
    normalizer.update(torch.full((4, 2), math.nan))
    assert normalizer.count == 3


def test_an_action_that_is_nan_becomes_the_middle_of_its_box():
    heads = ActionHeads(resolve_heads(describe_space(SPACE), {}), SPACE)
    actions = {"go": torch.tensor([1]), "aim": torch.tensor([[math.nan, 1.0]])}
    assert heads.to_game(actions)["aim"].tolist() == [[5.0, 10.0]]
