"""The cost of a memory as figures."""

from headctl.run.bench_memory import bench_memory
from headctl.run.config import parse_config

SMALL = (
    "game.num_games=2",
    "policy.hidden=[8]",
    "ppo={rollout_steps: 12, minibatch_size: 48, epochs: 1}",
    "selfplay.opponents={latest: 1}",
)


def test_all_are_measured_in_turn_and_compared_with_none():
    figures = {figure.name: figure for figure in bench_memory(parse_config("", SMALL), iterations=1)}
    memories = [
        "gru of 64, sequences of 12",
        "gru of 128, sequences of 12",
        "gru of 64, sequences of 12, burn-in of 6",
    ]
    assert list(figures) == [
        *(f"training, {label}" for label in ("no memory", *memories)),
        *(f"{label}, relative to no memory" for label in memories),
    ]
    without = figures["training, no memory"]
    for label in memories:
        rates, ratios = figures[f"training, {label}"], figures[f"{label}, relative to no memory"]
        assert min(rates.values) > 0.0
        assert ratios.values == tuple(a / b for a, b in zip(rates.values, without.values, strict=True))
