"""Bad configurations: every one is run or refused with one message and exit code 2, never with a traceback."""

import contextlib
import copy
import math
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headctl.cli import main
from headctl.entropy.spec import HEAD_KEYS
from headctl.run.config import ConfigError, load_config
from headctl.run.diagnosis import RunFailedError
from headctl.run.reference import describe_keys
from headctl.run.trainer import Trainer
from headctl.run.yaml_io import dump_yaml
from headctl.selfplay.faults import GameFaultError
from tests.faults.outcome import Outcome, drill

BASE: dict[str, Any] = {
    "seed": 3,
    "total_steps": 100,
    "game": {"name": "dogfight", "num_games": 4, "options": {"time_limit_s": 4}},
    "heads": {
        "maneuver": {"target": {"schedule": "linear", "start": 0.8, "end": 0.3, "until": 0.7}},
        "weapon": 0.3,
        "params": {"target": 0.5, "law": "dual"},
    },
    "policy": {"hidden": [8], "activation": "tanh"},
    "ppo": {"rollout_steps": 4, "minibatch_size": 8, "epochs": 1},
    "selfplay": {"latest_share": 0.5, "slots": 1, "pool_size": 2},
    "evaluation": {"games": 2},
    "run": {"tensorboard": False, "dir": "runs"},
}
KEYS = [key.name for key in describe_keys()]
OTHER_KEYS = (
    *(f"heads.{head}.{key}" for head in ("maneuver", "weapon", "params", "wings") for key in HEAD_KEYS),
    *(f"heads.weapon.target.{key}" for key in ("schedule", "start", "end", "until", "value", "points", "metric")),
    *(f"game.options.{key}" for key in ("time_limit_s", "start", "maneuvers", "substeps", "airframe", "gamma")),
    "ppo.epoch", "game", "heads", "policy", "ppo", "selfplay", "run", "nonsense", "policy.hidden.0",
)  # fmt: skip
PLAUSIBLE_KEYS = [key for key in (*KEYS, *OTHER_KEYS) if "." in key and not key.startswith(("heads.wings", "run."))]
SMALLEST_RUN_ROWS = 20_000

texts = st.sampled_from(
    ["", "dogfight", "os:system", "torch:load", "builtins:eval", "a:b:c", "..", "../..", "/", "\0", "a" * 5000, "é",
     "nan", "inf", "1e400", "3e-4", "cuda", "cuda:77", "cpu", "linear", "pi", "random", "[", "{", "null",
     "tests.helpers.games:x"]
)  # fmt: skip
numbers = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([0, -1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 10**18, 1e-300, 1e300, -0.0, 0.5, 1.0, 1.5]),
    st.floats(allow_nan=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["target", "schedule", "start", "end", "a", "points", "value"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
# Values that often pass the check of their own key, so that what follows it is tried too.
plausible = st.tuples(
    st.sampled_from(PLAUSIBLE_KEYS),
    st.sampled_from(
        [0, 1, 2, 3, 4, 8, 0.0, 1e-9, 0.01, 0.1, 0.3, 0.5, 0.9, 1.0, 5.0, 1e3, 1e6, 1e30, True, False, None,
         "constant", "relu", "fixed", "decay", "dual", "pi", "track", "floor", "sgd", "adam", "nats", "std", "epsilon",
         [1, 1], [16]]
    ),
)  # fmt: skip
changes = st.lists(st.tuples(st.sampled_from([*KEYS, *OTHER_KEYS]), values), min_size=1, max_size=3)
raw_texts = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            "a: &a [*a]",
            "\n".join([f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" if i else "a0: &a0 [1]" for i in range(40)]),
            "x: !!python/object/apply:os.system [ls]",
            "[" * 5000,
            "{" * 5000,
            "seed: 1\nseed: 2",
            "a: b: c",
            "\ufeffseed: 1",
            "- 1\n- 2",
            "seed: " + "9" * 10_000,
            "x: " + "y" * 2_000_000,
        ]
    ),
)
damages = st.tuples(
    st.integers(0, 10_000), st.sampled_from(["cut", "double", "noise"]), st.text(min_size=1, max_size=3)
)


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def changed(pairs: list[tuple[str, Any]]) -> str:
    """Returns the text of the base configuration with some keys set to something else."""
    tree = copy.deepcopy(BASE)
    for key, value in pairs:
        branch, *parts = tree, *key.split(".")
        for part in parts[:-1]:
            below = branch.get(part)
            branch[part] = below = below if isinstance(below, dict) else {}
            branch = below
        branch[parts[-1]] = value
    return dump_yaml(tree)


def damaged(text: str, damage: tuple[int, str, str]) -> str:
    """Returns a text with something cut out, doubled or put in."""
    place, kind, noise = damage[0] % max(1, len(text)), damage[1], damage[2]
    before, after = text[:place], text[place:]
    return {"cut": before + after[7:], "double": before + after[:9] + after, "noise": before + noise + after}[kind]


files = st.one_of(
    st.lists(plausible, min_size=1, max_size=2).map(changed),
    st.lists(plausible, min_size=1, max_size=4).map(changed),
    changes.map(changed),
    st.builds(damaged, changes.map(changed), damages),
    st.one_of(raw_texts.map(_encoded), st.binary(max_size=40)),
).map(_encoded)
likely_files = st.lists(plausible, min_size=1, max_size=2).map(changed).map(_encoded)
overrides = st.just([]) | st.lists(
    st.one_of(
        st.builds("{}={}".format, st.sampled_from([*KEYS, *OTHER_KEYS]), texts | numbers.map(repr)),
        st.sampled_from(["=", "a=", "=1", "seed", "seed=", "seed=[", "seed.x=1", "heads.weapon=", "...=1", "ppo={}"]),
    ),
    max_size=2,
)


class _OutOfTimeError(Exception):
    """Ends the generation."""


def _generate(cases: int) -> settings:
    return settings(
        max_examples=cases,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def configuration_drill(work: Path, *, cases: int, runs: int, seconds: float = math.inf) -> Outcome:
    """Runs the drill.

    Args:
        work: An empty folder.
        cases: How many configurations.
        runs: How many of the accepted ones are trained for an iteration, at most.
        seconds: Time for it; cases that do not fit in are a problem.
    """
    with drill(f"{cases} generated configurations") as outcome, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        work.mkdir(parents=True, exist_ok=True)
        seen: Counter[str] = Counter()

        ends = time.perf_counter() + seconds

        def case(content: bytes, words: list[str]) -> None:
            if time.perf_counter() > ends:
                raise _OutOfTimeError
            path = work / "case.yaml"
            path.write_bytes(content)
            result = CliRunner().invoke(main, ["config", str(path), *words], prog_name="headctl")
            seen[_judged(result, content, words, outcome)] += 1
            if result.exit_code == 0 and seen["trained"] < runs:
                seen[_trained(path, words, work, outcome)] += 1

        likely = cases // 5
        with contextlib.suppress(_OutOfTimeError):  # returning early would still generate the rest
            _generate(likely)(given(content=likely_files, words=st.just([]))(case))()
            _generate(cases - likely)(given(content=files, words=overrides)(case))()
        total = seen["refused with exit code 2"] + seen["accepted"] + seen["traceback"]
        outcome.expect(total >= cases, f"only {total} of {cases} configurations were tried")
        outcome.figures += [f"{what}: {count}" for what, count in seen.most_common()]
    return outcome


def _judged(result: Result, content: bytes, words: list[str], outcome: Outcome) -> str:
    if result.exit_code == 0 and result.exception is None:
        return "accepted"
    clean = isinstance(result.exception, SystemExit) and result.exit_code == 2
    said = result.stderr.strip() and result.stdout == "" and "Traceback" not in result.stderr
    if clean and said:
        return "refused with exit code 2"
    outcome.problems.append(
        f"{type(result.exception).__name__}: {str(result.exception)[:200]!r} {_place(result.exception)}, exit "
        f"{result.exit_code}, of {content[:200]!r} with {words}"
    )
    return "traceback"


def _place(error: BaseException | None) -> str:
    trace = error.__traceback__ if error else None
    frames = [frame for frame in traceback.extract_tb(trace) if "headctl" in frame.filename]
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _trained(path: Path, words: list[str], work: Path, outcome: Outcome) -> str:
    """Trains an accepted configuration for an iteration, if it is small enough for a drill."""
    config = load_config(path, words)
    small = config.rollout_rows <= SMALLEST_RUN_ROWS and max(config.policy.hidden) <= 512 and config.ppo.epochs <= 20
    if not small or len(config.policy.hidden) > 4 or config.rollout_rows // config.ppo.minibatch_size > 500:
        return "accepted, too large to be trained in a drill"
    try:
        next(Trainer(config, work / "run", tell=lambda _: None).iterations())
    except (ConfigError, GameFaultError, RunFailedError):
        return "accepted, refused when it was made"
    except Exception as error:  # noqa: BLE001 - what the drill looks for
        outcome.problems.append(
            f"accepted, then {type(error).__name__}: {error}, of {path.read_bytes()[:600]!r} {words}"
        )
    return "trained"
