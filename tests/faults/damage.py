"""Damaged and hostile run folders: nothing is executed, nothing wrong is taken over, and there is no traceback.

Every case starts from a copy of one small run with several checkpoints, damages something in it, and resumes. Right is:
the state of one of the run's own checkpoints, bit for bit, the newest whole one, or one message. Wrong is everything
else.
"""

import json
import math
import os
import pickle
import random
import shutil
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from headctl.run.checkpoint import CheckpointError, list_checkpoints, load_checkpoint, steps_of
from headctl.run.manifest import FileMark
from headctl.run.trainer import Trainer, load_policy
from tests.faults.outcome import Outcome, drill
from tests.faults.runs import begin_and_train, config_of, differences

CONFIG = ("total_steps=900", "checkpoint={every: 120, keep: 4, milestones: 0}")


class Hostile:
    """Its unpickling would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.trace),)


class Damager:
    """Damages run folders in every way that it knows, at random places."""

    def __init__(self, whole: Path, other: Path, trace: Path, seed: int) -> None:
        """Prepares.

        Args:
            whole: A run folder to damage copies of.
            other: A run of another seed, to swap files with.
            trace: What hostile files would make.
            seed: Of the places.
        """
        self.whole, self.other, self.trace = whole, other, trace
        self.random = random.Random(seed)  # noqa: S311 - a drill, no secret
        self.kinds: dict[str, Callable[[Path], None]] = {
            "bit flip": self.flip,
            "truncation": self.truncate,
            "longer": self.lengthen,
            "swapped files": self.swap,
            "file of another run": self.exchange,
            "hostile pickle": self.hostile,
            "hostile with a right manifest": self.hostile_signed,
            "wrong shapes with a right manifest": self.misfit_signed,
            "bomb with a right manifest": self.bomb_signed,
            "impossible counts with a right manifest": self.count_signed,
            "missing": self.remove,
            "link that leads out": self.link,
            "compressed archive": self.compress,
        }

    def file(self, run: Path) -> Path:
        """Chooses a checkpoint, a manifest or a snapshot, the newest checkpoint most often."""
        if self.random.random() < 0.5:
            return list_checkpoints(run)[-1]
        folders = ("checkpoints", "manifests", "league")
        return self.random.choice([path for name in folders for path in sorted((run / name).iterdir())])

    def flip(self, run: Path) -> None:
        """Flips one to three bits."""
        path = self.file(run)
        data = bytearray(path.read_bytes())
        for _ in range(self.random.randint(1, 3)):
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        path.write_bytes(data)

    def truncate(self, run: Path) -> None:
        """Cuts a file off."""
        path = self.file(run)
        path.write_bytes(path.read_bytes()[: self.random.randrange(path.stat().st_size)])

    def lengthen(self, run: Path) -> None:
        """Adds something at the end."""
        path = self.file(run)
        path.write_bytes(path.read_bytes() + self.random.randbytes(self.random.randint(1, 5000)))

    def swap(self, run: Path) -> None:
        """Lets two files change places, with their manifests or without."""
        folder = self.random.choice(("checkpoints", "league"))
        one, other = self.random.sample(sorted((run / folder).iterdir()), 2)
        pairs = [(one, other)]
        if folder == "checkpoints" and self.random.random() < 0.5:
            pairs.append(tuple(run / "manifests" / f"{path.stem}.json" for path in (one, other)))  # type: ignore[arg-type]
        for first, second in pairs:
            content = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(content)

    def exchange(self, run: Path) -> None:
        """Puts the newest checkpoint of another run, with its manifest, in the place of this one's."""
        mine, theirs = list_checkpoints(run)[-1], list_checkpoints(self.other)[-1]
        target = run / "checkpoints" / theirs.name
        shutil.copy(theirs, target)
        shutil.copy(self.other / "manifests" / f"{theirs.stem}.json", run / "manifests")
        if target != mine:
            mine.unlink()

    def hostile(self, run: Path) -> None:
        """Writes a pickle that would execute something."""
        path = self.file(run)
        content = {"format": self.random.choice((1, 2)), "agent_steps": 1, "state": {"x": Hostile(self.trace)}}
        if self.random.random() < 0.5:
            path.write_bytes(pickle.dumps(content, protocol=self.random.randint(0, 4)))
        else:
            torch.save(content, path)

    def hostile_signed(self, run: Path) -> None:
        """Hides such a pickle in the newest checkpoint, and makes the manifest fit."""
        path = list_checkpoints(run)[-1]
        content = torch.load(path, weights_only=True)
        places = [content, content["state"], content["state"]["learner"], content["state"]["collector"]]
        self.random.choice(places)["more"] = Hostile(self.trace)
        torch.save(content, path)
        self.sign(run, path)

    def misfit_signed(self, run: Path) -> None:
        """Changes kind, shape, dtype or finiteness of one entry of the newest state, and makes the manifest fit."""
        path = list_checkpoints(run)[-1]
        content = torch.load(path, weights_only=True)
        holder, key = self.random.choice(list(_entries(content["state"])))
        entry = holder[key]
        if isinstance(entry, torch.Tensor):
            float_entry = entry if entry.is_floating_point() else entry.double()
            changed = [entry.new_zeros(*entry.shape, 2), entry.reshape(-1)[:0], "a text", [1], float_entry.half()]
            holder[key] = self.random.choice(changed)
        else:
            holder[key] = self.random.choice([torch.zeros(3), [entry], {"deep": entry}])
        torch.save(content, path)
        self.sign(run, path)

    def bomb_signed(self, run: Path) -> None:
        """Hides what is small in the file and endless to read in the newest state, and makes the manifest fit."""
        path = list_checkpoints(run)[-1]
        content = torch.load(path, weights_only=True)
        doubled: Any = [1.0]
        for _ in range(40):
            doubled = [doubled, doubled]
        itself: list[Any] = []
        itself.append(itself)
        state = content["state"]
        places = [state["config"], state["league"], state["learner"]["controller"]["agenda"], state["scheme"], state]
        self.random.choice(places)["more"] = self.random.choice([doubled, itself, torch.zeros(1).expand(2**40)])
        torch.save(content, path)
        self.sign(run, path)

    def count_signed(self, run: Path) -> None:
        """Gives the newest state a count or a name that no run has, and makes the manifest fit."""
        path = list_checkpoints(run)[-1]
        content = torch.load(path, weights_only=True)
        state = content["state"]
        changes: list[tuple[Any, str, Any]] = [
            (state, "iteration", -5),
            (state, "restores", -1),
            (state, "elapsed_s", math.nan),
            (state["collector"], "iterations_left", -3),
            (state["collector"], "pilots", ["nobody"] * len(state["collector"]["pilots"])),
            (state["league"]["gate"], "points", math.nan),
            (state["league"], "nash", {"a": math.nan}),
            (state["learner"]["policy"], "normalizer.variance", -state["learner"]["policy"]["normalizer.variance"] - 1),
            (state["learner"]["optimizer"]["param_groups"][0], "betas", [5.0, 7.0]),
            (content, "format", self.random.choice([True, 1, 2, 2**70])),
            (content, "agent_steps", "many"),
        ]
        holder, key, value = self.random.choice(changes)
        holder[key] = value
        torch.save(content, path)
        self.sign(run, path)

    def sign(self, run: Path, path: Path) -> None:
        """Makes the manifest say what the file is now."""
        manifest = run / "manifests" / f"{path.stem}.json"
        content = json.loads(manifest.read_text(encoding="utf-8"))
        mark = FileMark.of(path.read_bytes())
        content["files"][f"checkpoints/{path.name}"] = {"bytes": mark.size, "sha256": mark.sha256}
        manifest.write_text(json.dumps(content), encoding="utf-8")

    def remove(self, run: Path) -> None:
        """Deletes a file."""
        self.file(run).unlink()

    def link(self, run: Path) -> None:
        """Puts a link to a file outside in the place of a file."""
        path = self.file(run)
        outside = run.parent / "outside"
        shutil.copy(path, outside)
        path.unlink()
        path.symlink_to(outside)

    def compress(self, run: Path) -> None:
        """Writes the same archive compressed: small on disk, as large as you like in memory."""
        path = list_checkpoints(run)[-1]
        with zipfile.ZipFile(path) as archive:
            parts = [(entry, archive.read(entry)) for entry in archive.infolist()]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in parts:
                archive.writestr(entry.filename, data)
        self.sign(run, path)


def _entries(tree: Any) -> Any:
    """Yields every leaf of a state as its holder and its key."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, entry in list(pairs):
        if key in {"config", "agenda", "reading"}:
            continue  # the first is compared as a whole, the others are free in their form
        if isinstance(entry, dict | list) and entry:
            yield from _entries(entry)
        elif entry is not None:
            yield tree, key


def damage_drill(work: Path, *, cases: int, seed: int = 1, seconds: float = math.inf) -> Outcome:
    """Runs the drill.

    Args:
        work: An empty folder.
        cases: How many damaged folders.
        seed: Of the damage.
        seconds: Time for it; cases that do not fit in are a problem.
    """
    with drill(f"{cases} damaged and hostile run folders") as outcome:
        whole, other, trace = work / "whole", work / "other", work / "executed"
        config = config_of(*CONFIG)
        begin_and_train(config, whole)
        begin_and_train(config_of(*CONFIG, "seed=12"), other)
        right = {steps_of(path): load_checkpoint(path) for path in list_checkpoints(whole)}
        damager = Damager(whole, other, trace, seed)
        trainer = Trainer(config, whole, resume=True)
        seen: Counter[str] = Counter()
        kinds = list(damager.kinds)
        ends = time.perf_counter() + seconds
        for number in range(cases):
            if time.perf_counter() > ends:
                outcome.problems.append(f"out of time after {number} of {cases} cases")
                break
            kind = kinds[number % len(kinds)]
            run = work / "case"
            shutil.copytree(whole, run, symlinks=True)
            damager.kinds[kind](run)
            try:
                told = f"case {number}, {kind}"
                seen[_resume(trainer, run, right, outcome, told, with_policy=number % 4 == 0)] += 1
            except Exception as error:  # noqa: BLE001 - a traceback is what the drill looks for
                outcome.problems.append(f"case {number}, {kind}: {type(error).__name__}: {error}")
            outcome.expect(not trace.exists(), f"case {number}, {kind}: code was executed")
            shutil.rmtree(run)
            (work / "outside").unlink(missing_ok=True)
        outcome.figures.append(f"kinds of damage: {', '.join(kinds)}")
        outcome.figures += [f"{what}: {count}" for what, count in seen.most_common()]
        outcome.figures.append(
            "code executed: 0, wrong data accepted: 0" if not outcome.problems else "see the problems"
        )
    return outcome


def _resume(
    trainer: Trainer, run: Path, right: dict[int, Any], outcome: Outcome, case: str, *, with_policy: bool
) -> str:
    """Resumes a damaged run, and loads its policy as a match would; says how that went."""
    trainer.run_dir = run
    told: list[str] = []
    trainer._tell = told.append
    newest, policy = max(right), None
    try:
        if with_policy:
            policy = load_policy(trainer.config, run).state_dict()
    except CheckpointError as error:
        outcome.expect("\n" not in str(error), f"{case}: the message has several lines: {error}")
    try:
        trainer._resume()
    except CheckpointError as error:
        outcome.expect("\n" not in str(error), f"{case}: the message has several lines: {error}")
        return "refused with one message"
    state, steps = trainer.state_dict(), trainer.agent_steps
    del state["elapsed_s"]
    expected = {key: entry for key, entry in right[steps].items() if key != "elapsed_s"}
    differing = differences(expected, state)
    outcome.expect(not differing, f"{case}: wrong data accepted: {differing[:5]}")
    if policy is not None:
        differing = min((differences(entry["learner"]["policy"], policy) for entry in right.values()), key=len)
        outcome.expect(not differing, f"{case}: a wrong policy was loaded: {differing[:5]}")
    if steps == newest:
        return "no harm to the newest checkpoint"
    outcome.expect(bool(told), f"{case}: an older checkpoint was used without a word")
    return "an older checkpoint used, with a warning"
