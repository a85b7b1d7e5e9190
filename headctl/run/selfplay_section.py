"""The keys of ``selfplay:``: who plays whom during training. Explained in docs/self-play.md."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from headctl.run.fields import Real, Section, Whole, key


def _weight_only(value: object) -> object:
    """A bare number is short for a sampler of that weight."""
    return value if isinstance(value, Mapping | Section) else {"weight": value}


class WindowSampler(Section):
    """The newest snapshots."""

    weight: Real = key(0.0, "weight of the newest snapshots", ge=0.0)
    size: Whole = key(4, "how many of the newest", "policies", ge=1, le=100_000)


class PfspSampler(Section):
    """Prioritised fictitious self-play."""

    weight: Real = key(0.0, "weight of prioritised fictitious self-play over the frozen policies", ge=0.0)
    kind: Literal["hard", "variance", "linear_capped"] = key(
        "hard", "`hard`: (1 - w)^power; `variance`: w (1 - w); `linear_capped`: min(1/2, 1 - w); w is the win rate"
    )
    power: Real = key(2.0, "sharpness of `hard`: 0 is uniform", ge=0.0, le=100.0)


class PilotSampler(Section):
    """Scripted opponents."""

    weight: Real = key(0.0, "weight of the game's scripted pilots", ge=0.0)
    names: list[str] = key([], "which pilots; empty: all that the game has", max_length=1000)


class AnchorSampler(Section):
    """Policies that never leave."""

    weight: Real = key(0.0, "weight of the anchors; they never leave, also with a weight of 0", ge=0.0)
    snapshots: list[Annotated[Whole, Field(ge=0)]] = key(
        [],
        "own anchors: the first snapshot taken at or after each of these agent-steps",
        "agent-steps",
        max_length=1000,
    )
    paths: list[str] = key(
        [], "anchors of other runs: a run folder (its newest checkpoint), or the file of a checkpoint or a snapshot",
        max_length=1000,
    )  # fmt: skip


class OpponentsSection(Section):
    """Weights of the rules that pick opponents; they are scaled to the sum 1."""

    latest: Real = key(0.0, "weight of games against the latest policy itself, where both seats learn", ge=0.0)
    uniform: Real = key(0.0, "weight of the frozen policies, all alike", ge=0.0)
    window: Annotated[WindowSampler, BeforeValidator(_weight_only)] = Field(default_factory=WindowSampler)
    pfsp: Annotated[PfspSampler, BeforeValidator(_weight_only)] = Field(default_factory=PfspSampler)
    nash: Real = key(0.0, "weight of the Nash mixture of the payoff matrix; needs selfplay.payoff.every", ge=0.0)
    pilots: Annotated[PilotSampler, BeforeValidator(_weight_only)] = Field(default_factory=PilotSampler)
    anchors: Annotated[AnchorSampler, BeforeValidator(_weight_only)] = Field(default_factory=AnchorSampler)

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every rule."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value if isinstance(value, float) else value.weight for name, value in values.items()}

    @property
    def latest_share(self) -> float:
        """Share of the games against the latest policy itself."""
        total = sum(self.weights.values())
        return self.latest / total if total > 0.0 else 1.0


class EntrySection(Section):
    """When the learner is frozen and enters the league."""

    by: Literal["steps", "win_rate", "both"] = key(
        "steps",
        "`steps`: every snapshot_every agent-steps; `win_rate`: once it beats the pool; `both`: once it beats the "
        "pool, after snapshot_every agent-steps in any case",
    )
    win_rate: Real = key(0.7, "score against the pool that opens the gate, a draw is half a win", gt=0.0, lt=1.0)
    games: Whole = key(200, "games against the pool since the last entry before the gate may open", "games", ge=1)


class PayoffSection(Section):
    """The payoff matrix: who of the league beats whom."""

    every: Whole = key(0, "distance between two rounds of games between frozen players; 0: never", "iterations", ge=0)
    pairs: Whole = key(4, "pairs of a round: those about which least is known", "pairs", ge=1, le=10_000)
    games: Whole = key(16, "games of a pair, half of them from each seat", "games", ge=2, le=100_000)
    half_life: Whole = key(
        1_000_000, "after so many agent-steps a training game counts half: the learner is not who it was",
        "agent-steps", ge=1,
    )  # fmt: skip


class ReheatSection(Section):
    """A higher target for a while after a change in the league."""

    by: Real = key(0.0, "what is added to the target fraction of every learned head; 0: nothing", ge=0.0, le=0.5)
    steps: Whole = key(200_000, "for how long; it fades linearly", "agent-steps", ge=1)


class RoleSection(Section):
    """An exploiter that is trained beside the main agent."""

    share: Real = key(
        0.0, "its iterations per iteration of the main agent; 0: there is none", "iterations", ge=0.0, le=10.0
    )
    start: Literal["main", "scratch"] = key("main", "from what it begins, and begins again: the main agent, or nothing")
    win_rate: Real = key(
        0.7, "score against its opponents at which it enters the league and begins again", gt=0.0, lt=1.0
    )
    games: Whole = key(200, "games since it began before it may enter", "games", ge=1)
    timeout: Whole = key(2_000_000, "its own agent-steps after which it enters in any case", "agent-steps", ge=1)
    num_games: Whole = key(128, "games that it plays side by side", "games", ge=1, le=1_000_000)
    heads: dict[str, Any] = key({}, "keys of its heads that differ from those of the main agent; a number is a target")


class RolesSection(Section):
    """Exploiters (Vinyals et al. 2019): whoever beats the main agent shows it a weakness."""

    main_exploiter: RoleSection = Field(default_factory=RoleSection, description="plays the main agent only")
    league_exploiter: RoleSection = Field(default_factory=RoleSection, description="plays the whole league, by pfsp")


class SelfPlaySection(Section):
    """Who plays whom during training."""

    opponents: OpponentsSection = Field(
        default_factory=lambda: OpponentsSection(latest=0.5, uniform=0.5), description="who is played, by weight"
    )
    floor: Real = key(
        0.05,
        "share of pfsp and nash that is spread evenly: nobody's probability falls below floor / size",
        ge=0.0,
        le=1.0,
    )
    pool_size: Whole = key(16, "frozen snapshots that are kept as opponents", "policies", ge=1, le=100_000)
    snapshot_every: Whole = key(500_000, "distance between two snapshots; see entry.by", "agent-steps", ge=1)
    entry: EntrySection = Field(default_factory=EntrySection, description="when the learner enters the league")
    slots: Whole = key(4, "opponents in play at once", "policies", ge=1, le=100_000)
    slot_iterations: Whole = key(8, "iterations before an opponent is drawn anew", "iterations", ge=1)
    payoff: PayoffSection = Field(default_factory=PayoffSection, description="who of the league beats whom")
    reheat: ReheatSection = Field(default_factory=ReheatSection, description="higher targets after a change")
    roles: RolesSection = Field(default_factory=RolesSection, description="exploiters beside the main agent")

    @model_validator(mode="before")
    @classmethod
    def _migrate(cls, tree: Any) -> Any:
        """Reads ``latest_share`` of earlier versions: that share against itself, the rest against the pool evenly."""
        if not isinstance(tree, Mapping) or "latest_share" not in tree:
            return tree
        rest = {name: value for name, value in tree.items() if name != "latest_share"}
        try:
            share = EarlierShare.model_validate({"latest_share": tree["latest_share"]}).latest_share
        except ValueError:
            share = None
        if share is None:
            raise PydanticCustomError(
                "latest_share", "latest_share must be a number from 0 to 1; today it is called opponents.latest"
            )
        if rest.get("opponents"):
            raise PydanticCustomError(
                "latest_share",
                "latest_share and opponents contradict each other: latest_share is what earlier versions called "
                "opponents.latest; keep opponents only",
            )
        return {**rest, "opponents": {"latest": share, "uniform": 1.0 - share}}


class EarlierShare(Section):
    """A key of earlier versions."""

    latest_share: Real = key(0.5, "share of the games against the latest policy itself", ge=0.0, le=1.0)


def league_problems(selfplay: SelfPlaySection) -> list[str]:
    """Returns what is wrong between keys of the section that are each right by themselves."""
    problems, opponents = [], selfplay.opponents
    if not sum(opponents.weights.values()) > 0.0:
        names = ", ".join(OpponentsSection.model_fields)
        problems.append(
            f"selfplay.opponents: every weight is 0, so nobody is played. Give one of them a weight: {names}"
        )
    if opponents.nash > 0.0 and not selfplay.payoff.every:
        problems.append(
            "selfplay.opponents.nash: the Nash mixture needs games between frozen policies; set selfplay.payoff.every"
        )
    anchors = opponents.anchors
    if anchors.weight > 0.0 and not (anchors.snapshots or anchors.paths):
        problems.append("selfplay.opponents.anchors.weight: there is no anchor; name some by snapshots or paths")
    if len(anchors.snapshots) >= selfplay.pool_size > 1:
        problems.append(
            f"selfplay.pool_size: {selfplay.pool_size} leaves no room beside {len(anchors.snapshots)} anchors"
        )
    frozen = sum(weight for name, weight in opponents.weights.items() if name not in {"latest", "pilots"})
    if selfplay.entry.by == "win_rate" and frozen == 0.0:
        problems.append("selfplay.entry.by: win_rate needs games against the pool, and no rule plays it; use both")
    return problems


def merged_heads(heads: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns heads in which keys were replaced; a head that brings a law of its own is replaced as a whole.

    Args:
        heads: Head -> number or mapping.
        own: The same, for some of them.
    """
    merged = dict(heads)
    for name, value in own.items():
        new = value if isinstance(value, Mapping) else {"target": value}
        old = heads.get(name, {})
        old = old if isinstance(old, Mapping) else {"target": old}
        merged[name] = dict(new) if "law" in new else {**old, **new}
    return merged
