"""The three calls of the hot path as one graph each: no break, no read back, no recompilation when alpha changes."""

import pytest
import torch

from headctl import MultiHeadEntropyController

HEADS = {
    "a": {"target": {"schedule": "linear", "start": 0.8, "end": 0.2}, "choices": 9},
    "b": {"target": 0.5, "unit": "nats", "choices": 4},
    "c": {"law": "dual", "choices": 4},
    "d": {"alpha": 0.01, "kind": "gaussian"},
}


@pytest.fixture
def _fresh_compiler():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_fresh_compiler")
def test_full_graphs_that_serve_a_whole_training():
    plain, compiled = (MultiHeadEntropyController(HEADS) for _ in range(2))
    bonus, observe, step = (
        torch.compile(call, fullgraph=True, backend="aot_eager")
        for call in (compiled.bonus, compiled.observe, compiled.step)
    )
    generator = torch.Generator().manual_seed(0)
    for update in range(8):
        entropy = torch.rand(32, 4, generator=generator)
        weight = (torch.rand(32, 4, generator=generator) > 0.3).float()
        gradients = []
        for controller, pays, sees, moves in (
            (plain, plain.bonus, plain.observe, plain.step),
            (compiled, bonus, observe, step),
        ):
            leaf = entropy.clone().requires_grad_()
            pays(leaf, weight=weight).backward()
            gradients.append(leaf.grad)
            sees(entropy, capacity=1.0 + entropy, weight=weight)
            moves()
            controller.advance(progress=update / 8)
        torch.testing.assert_close(*gradients)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3
    torch.testing.assert_close(plain.alpha, compiled.alpha)
    told = plain.metrics()
    assert told == pytest.approx(compiled.metrics(), nan_ok=True)
    assert {told[f"heads/{head}/skipped"] for head in HEADS} == {0.0}
