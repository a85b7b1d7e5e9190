"""What a target amounts to, in words and numbers."""

import math

import pytest

from headctl.entropy.explain import explain
from headctl.entropy.spec import parse_head
from headctl.entropy.targets import epsilon_of_entropy


def test_a_discrete_target_in_every_unit():
    (all_legal, two_legal) = explain(parse_head("weapon", {"target": 0.5, "choices": 9}))
    assert (all_legal.actions, two_legal.actions) == (9, 2)
    assert all_legal.nats == pytest.approx(0.5 * math.log(9))
    assert all_legal.effective_actions == pytest.approx(3.0)
    assert all_legal.favourite == pytest.approx(0.745, abs=1e-3)
    assert all_legal.epsilon == pytest.approx(0.255, abs=1e-3)
    assert all_legal.std is None
    assert all_legal.warnings == ()
    assert two_legal.fraction == 0.5


def test_the_units_agree_with_each_other():
    (by_epsilon,) = explain(parse_head("weapon", {"target": 0.1, "unit": "epsilon", "choices": 4}), [4])
    assert by_epsilon.epsilon == pytest.approx(0.1)
    assert by_epsilon.favourite == pytest.approx(0.9)
    (by_actions,) = explain(parse_head("weapon", {"target": 2.5, "unit": "effective_actions", "choices": 4}), [4])
    assert by_actions.effective_actions == pytest.approx(2.5)
    assert epsilon_of_entropy(math.log(4), 4) == pytest.approx(0.75, abs=1e-6)
    assert epsilon_of_entropy(0.0, 1) == 0.0


def test_a_schedule_is_explained_at_its_ends():
    told = explain(parse_head("p", {"target": {"schedule": "linear", "start": 0.8, "end": 0.2}, "kind": "gaussian"}))
    assert [each.moment for each in told] == ["lowest", "highest"]
    assert told[0].std == pytest.approx(math.exp(0.2 * 3.0 - 3.0))
    assert told[0].actions is None
    (three,) = explain(parse_head("p", {"target": -1.0, "unit": "nats_per_dim", "kind": "gaussian", "dims": 3}))
    assert three.nats == pytest.approx(-3.0)
    assert three.nats_per_dim == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("value", "actions", "warning"),
    [
        ({"target": 1.0, "unit": "nats", "choices": 9}, [2], "out of reach with 2 legal actions: 1 nats are 1.44"),
        ({"target": 0.95, "choices": 9}, [2], "all but uniform: the favourite of 2 actions has probability 0.63"),
        ({"target": 0.0, "choices": 9}, [9], "all but deterministic"),
        ({"target": 0.5, "choices": 9}, [1], "one legal action"),
        ({"target": 0.9, "unit": "std", "kind": "gaussian"}, [], "many draws lie outside"),
    ],
)
def test_warnings(value, actions, warning):
    (told,) = explain(parse_head("weapon", value), actions)
    assert len(told.warnings) == 1
    assert told.warnings[0].startswith(warning) or warning in told.warnings[0]
    assert None in told.to_json().values()


def test_nothing_to_explain():
    assert explain(parse_head("weapon", {"alpha": 0.1})) == []
    with pytest.raises(ValueError, match=r"heads\.weapon\.choices"):
        explain(parse_head("weapon", 0.5))
