"""The keys of ``selfplay:``: who plays whom during training."""

from headctl.run.fields import Real, Section, Whole, key


class SelfPlaySection(Section):
    """Who plays whom during training."""

    latest_share: Real = key(
        0.5, "share of the games against the latest policy itself, where both seats learn", ge=0.0, le=1.0
    )
    pool_size: Whole = key(16, "frozen snapshots that are kept as opponents", "policies", ge=1, le=100_000)
    snapshot_every: Whole = key(500_000, "distance between two snapshots", "agent-steps", ge=1)
    slots: Whole = key(4, "opponents in play at once", "policies", ge=1, le=100_000)
    slot_iterations: Whole = key(8, "iterations before an opponent is drawn anew", "iterations", ge=1)
