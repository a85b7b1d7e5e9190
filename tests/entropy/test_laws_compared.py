"""The laws that the field uses today, beside headctl's own: the same numbers as torch, and what they do in a loop."""

import math

import pytest
import torch

from headctl import MultiHeadEntropyController
from headctl.entropy.status import HeadStatus


def fractions(updates: int, seed: int = 0) -> list[float]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(updates, generator=generator).tolist()


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.03), ("sgd", 0.5)])
def test_dual_is_the_optimiser_of_torch_on_the_dual_loss(optimizer, rate):
    controller = MultiHeadEntropyController(
        {
            "a": {
                "law": "dual", "optimizer": optimizer, "learning_rate": rate, "target": 0.5, "choices": 4,
                "alpha_min": 1e-4, "alpha_max": 1e4,
            }
        }
    )  # fmt: skip
    log_alpha = torch.tensor([math.log(0.01)], requires_grad=True)
    reference = (torch.optim.Adam if optimizer == "adam" else torch.optim.SGD)([log_alpha], lr=rate)
    for fraction in fractions(200):
        controller.step(torch.full((3, 1), fraction * math.log(4)))
        reference.zero_grad()
        (log_alpha * (fraction - 0.5)).sum().backward()
        reference.step()
    assert controller.log_alpha.item() == pytest.approx(log_alpha.item(), abs=2e-4)
    assert controller.alpha.item() == pytest.approx(log_alpha.exp().item(), rel=2e-4)


def test_dual_holds_moments_without_data():
    controller = MultiHeadEntropyController({"a": {"law": "dual", "choices": 4}, "b": {"choices": 4}})
    controller.step(torch.full((3, 2), 0.2))
    before = controller.state_dict()
    controller.step(torch.full((3, 2), 0.2), weight=torch.tensor([[0.0, 1.0]]).repeat(3, 1))
    after = controller.state_dict()
    for name, moment in before["adam"].items():
        assert moment[0] == after["adam"][name][0], name
    assert after["log_alpha"][0] == before["log_alpha"][0]


def test_adam_resumes_bit_exactly():
    heads = {
        "a": {"law": "dual", "choices": 4},
        "b": {"law": "dual", "optimizer": "sgd", "choices": 4},
        "c": {"choices": 4},
    }
    whole, half = (MultiHeadEntropyController(heads) for _ in range(2))
    values = [torch.full((2, 3), fraction) for fraction in fractions(60)]
    for value in values:
        whole.step(value)
    for value in values[:30]:
        half.step(value)
    resumed = MultiHeadEntropyController(heads)
    resumed.load_state_dict(half.state_dict())
    for value in values[30:]:
        resumed.step(value)
    assert torch.equal(whole.log_alpha, resumed.log_alpha)
    with pytest.raises(ValueError, match="adam"):
        MultiHeadEntropyController({"a": 0.5, "b": 0.5, "c": 0.5}).load_state_dict(whole.state_dict())


def test_decay_prescribes_alpha():
    controller = MultiHeadEntropyController(
        {"a": {"alpha": {"schedule": "exponential", "start": 0.1, "end": 0.001}, "choices": 4}, "b": {"choices": 4}}
    )
    assert controller.specs["a"].law == "decay"
    for progress, alpha in ((0.0, 0.1), (0.5, 0.01), (1.0, 0.001)):
        controller.step(torch.full((2, 2), 0.1), progress=progress)
        assert controller.alpha[0].item() == pytest.approx(alpha)
        assert controller.log_alpha[0].item() == pytest.approx(math.log(alpha))
    assert controller.alpha[1].item() > 0.1
    assert controller.metrics()["heads/a/status"] is HeadStatus.FIXED


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"law": "decay", "alpha": 0.1, "target": 0.3}, "heads.a.target: law decay"),
        ({"law": "fixed", "alpha": {"schedule": "linear", "start": 1, "end": 0}}, "say law decay"),
        ({"law": "dual", "gain_proportional": 1}, "heads.a.gain_proportional: .*belongs to law pi"),
        ({"law": "pi", "optimizer": "sgd"}, "heads.a.optimizer: .*belongs to law dual"),
        ({"law": "dual", "mode": "track"}, "heads.a.mode: law dual has positive temperatures only"),
        ({"alpha": {"schedule": "linear", "start": 1, "end": -1}}, "heads.a.alpha: must be at least 0"),
        ({"alpha": {"schedule": "linar", "start": 1, "end": 0}}, "heads.a.alpha.schedule: .*'linear'"),
        ({"active_when": {"b": [1]}}, "heads.a.active_when: unknown head: 'b'"),
        ({"active_when": {"a": [1]}}, "depend on itself"),
        ({"active_when": {"b": ["gun"]}}, "numbers of choices"),
        ({"active_when": []}, "mapping"),
    ],
)
def test_contradictions_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadEntropyController({"a": value})
