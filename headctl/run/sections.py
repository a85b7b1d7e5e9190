"""The sections of a run's YAML file, but for self-play: type, unit, default, bounds and meaning of every key."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from headctl.run.fields import SEED_MAX, Real, Section, Whole, key


class GameSection(Section):
    """The game that is played."""

    name: str = key(
        "dogfight",
        "the game: `dogfight`, `package.module:function` of a PettingZoo ParallelEnv, or `gymnasium:Id` of a "
        "single-agent environment",
    )
    num_games: Whole = key(256, "games played side by side", "games", ge=1, le=1_000_000)
    workers: Whole = key(
        0,
        "processes beside the trainer's own that step an equal share of a PettingZoo or Gymnasium game's environments",
        "processes",
        ge=0,
        le=1024,
    )
    batched: bool = key(
        True,
        "play a PettingZoo game as the batch that it offers by a method `vector_game`, where it has one; false: step "
        "every environment by itself",
    )
    options: dict[str, Any] = key({}, "options of the game itself; the dogfight's are in docs/dogfight.md")


def _cell_only(value: object) -> object:
    """A bare word is short for a unit of that kind; null is none."""
    return {"cell": "none" if value is None else value} if value is None or isinstance(value, str) else value


class RecurrentSection(Section):
    """A memory between trunk and heads."""

    cell: Literal["none", "gru"] = key(
        "none",
        "`gru`: a gated recurrent unit between trunk and heads remembers what was seen earlier in the episode; `none`: "
        "the policy decides by what it sees now",
    )
    hidden_size: Whole = key(64, "size of what is remembered", "neurons", ge=1, le=65_536)
    sequence_length: Whole = key(
        16, "steps of a training sequence, a divisor of ppo.rollout_steps: gradients go no further back", "decisions",
        ge=1,
    )  # fmt: skip
    burn_in: Whole = key(
        0, "steps before a sequence, at most its length, that bring the memory it starts from up to date; no loss",
        "decisions", ge=0,
    )  # fmt: skip

    @property
    def size(self) -> int:
        """Size of the memory; 0: there is none."""
        return 0 if self.cell == "none" else self.hidden_size


class PolicySection(Section):
    """The network: a trunk shared by all heads and the critic."""

    hidden: list[Annotated[Whole, Field(ge=1, le=65_536)]] = key(
        [128, 128], "width of every hidden layer of the trunk", "neurons", min_length=1, max_length=64
    )
    activation: Literal["tanh", "relu", "elu", "silu"] = key("tanh", "activation of the hidden layers")
    recurrent: Annotated[RecurrentSection, BeforeValidator(_cell_only)] = Field(
        default_factory=RecurrentSection, description="a memory between trunk and heads"
    )


class PPOSection(Section):
    """The PPO update (Schulman et al. 2017)."""

    rollout_steps: Whole = key(64, "decisions of every game between two updates", "decisions", ge=1, le=1_000_000)
    epochs: Whole = key(4, "passes over the rollout in one update", "passes", ge=1, le=10_000)
    minibatch_size: Whole = key(4096, "rows of a minibatch", "rows", ge=2)
    gamma: Real = key(0.995, "discount per decision", ge=0.0, le=1.0)
    gae_lambda: Real = key(0.95, "lambda of generalised advantage estimation", ge=0.0, le=1.0)
    clip_coef: Real = key(0.2, "clip range of the probability ratio", gt=0.0)
    value_coef: Real = key(0.5, "weight of the value loss", ge=0.0)
    learning_rate: Real = key(3e-4, "step size of Adam", gt=0.0)
    learning_rate_schedule: Literal["constant", "linear"] = key(
        "linear", "course of the learning rate: constant, or falling linearly to a tenth at the end of training"
    )
    normalize_values: bool = key(
        False,
        "let the critic learn in units of a running mean and deviation of its returns (PopArt): for rewards that are "
        "far from 1, or whose size is not known",
    )
    max_grad_norm: Real = key(0.5, "gradients are scaled down to this norm", gt=0.0)
    rescue_coef: Real = key(
        0.1, "pull towards the uniform choice on heads with `rescue: true` that have collapsed", ge=0.0
    )
    target_kl: Real | None = key(
        0.03, "an update stops early once the policy has moved this far; null: never", "nats", gt=0.0
    )


class EvaluationSection(Section):
    """Matches against every scripted pilot of the game, half of the games from each seat."""

    games: Whole = key(200, "games of a match", "games", ge=2, le=1_000_000)
    every: Whole = key(0, "distance between two evaluations; 0: at the end only", "agent-steps", ge=0)
    pilots: list[str] = key(
        [],
        "whom an evaluation before the end plays; empty: every scripted pilot, as the one at the end does",
        max_length=1000,
    )
    options: dict[str, Any] = key({}, "options of the game that differ in evaluation from those in training")
    greedy: bool = key(
        False,
        "agents take their most likely actions instead of drawing them; in a game whose best strategy is mixed this "
        "makes them easy to beat",
    )
    seed: Whole = key(1_000_003, "seed of the evaluation games, apart from training's", ge=0, le=SEED_MAX)


class CheckpointSection(Section):
    """Saved states from which a run continues exactly."""

    every: Whole = key(1_000_000, "distance between two checkpoints; one more is made at the end", "agent-steps", ge=1)
    keep: Whole = key(3, "newest checkpoints that are kept", "checkpoints", ge=1)
    milestones: Whole = key(
        1_000_000,
        "of the older ones, the first at or after this many agent-steps is kept too, and after every doubling; 0: none",
        "agent-steps",
        ge=0,
    )


class FaultsSection(Section):
    """What happens when numbers stop being finite. Explained in docs/robustness.md."""

    max_skipped: Whole = key(
        5, "updates in a row that may be left out before the last good checkpoint is restored", "updates", ge=1
    )
    max_restores: Whole = key(
        3, "restores without a new checkpoint in between, before the training ends with exit code 1", "restores", ge=0
    )


class RunSection(Section):
    """Where and on what the run works."""

    dir: str = key("runs", "folder in which the run's own folder is made", min_length=1)
    threads: Whole = key(
        1,
        "CPU threads that share the rows of every minibatch; where a policy goes through autograd, torch's own",
        "threads",
        ge=1,
        le=1024,
    )
    device: str = key("cpu", "torch device: `cpu`, `cuda` or `cuda:N`", pattern=r"^(cpu|cuda(:\d+)?)$")
    keep_memory: bool = key(
        True,
        "let glibc keep up to 2 GB of freed memory for the next blocks: a tenth faster on the CPU; no other system",
    )
    tensorboard: bool = key(True, "write TensorBoard files beside metrics.jsonl")
