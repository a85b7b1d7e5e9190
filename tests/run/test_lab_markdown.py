"""The laboratory's Markdown: every number where its column says."""

import math

from headctl.run.lab.contestants import HEADS
from headctl.run.lab.markdown import markdown_tables
from headctl.run.lab.study import RecoveryRow, ScaleRow, TrackingRow


def per_head(*values: float) -> dict[str, float]:
    return dict(zip(HEADS, values, strict=True))


def row(contestant: str, course: str, difference: tuple[float, float]) -> TrackingRow:
    return TrackingRow(
        contestant=contestant,
        course=course,
        shortfall=per_head(0.0061, 0.01, 0.0),
        rmse=per_head(0.02, 0.03, 1.5),
        settle_up=per_head(4.4, 3.0, 0.67),
        settle_down=per_head(math.nan, 13.0, 9.0),
        overshoot=per_head(0.25, 0.5, 1.0),
        jitter=per_head(0.02, 0.03, 0.01),
        alpha=per_head(0.1, 0.1, 0.1),
        greedy_return=2.0,
        return_difference=difference,
    )


def test_tables_have_a_line_per_law_and_only_the_course_that_was_asked_for():
    tracking = [row("pi floor", "all", (0.0, math.nan)), row("pi floor", "const", (0.0, 0.0))]
    tracking.append(row("fixed 0.01", "all", (-0.25, 0.0125)))
    recovery = [RecoveryRow("pi track", *({"maneuver": a, "weapon": b} for a, b in ((7.8, 6.6), (9, 9), (1, 0.5))))]
    scales = [ScaleRow("pi floor", 100.0, per_head(0.01, -0.02, 0.0))]
    assert markdown_tables(tracking, recovery, scales).splitlines() == [
        "| law | shortfall | RMSE | up | down | overshoot | jitter | return | against the first |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        (
            "| `pi floor` | .006 / .010 / .000 | .020 / .030 / 1.500 | 4 / 3 / 1 | - / 13 / 9 | .25 / .50 / 1.00 "
            "| .020 / .030 / .010 | 2.000 | +0.000 |"
        ),
        (
            "| `fixed 0.01` | .006 / .010 / .000 | .020 / .030 / 1.500 | 4 / 3 / 1 | - / 13 / 9 | .25 / .50 / 1.00 "
            "| .020 / .030 / .010 | 2.000 | -0.250 ± 0.013 |"
        ),
        "",
        "| law | mean | slowest seed | highest alpha |",
        "| --- | --- | --- | --- |",
        "| `pi track` | 7.8 / 6.6 | 9 / 9 | 1.00 / .50 |",
        "",
        "| law | rewards times | alpha of maneuver | alpha of weapon | alpha of params |",
        "| --- | --- | --- | --- | --- |",
        "| `pi floor` | 100 | +1.0 % | -2.0 % | +0.0 % |",
    ]
    assert markdown_tables(tracking, [], [], course="const").count("\n") == 3
