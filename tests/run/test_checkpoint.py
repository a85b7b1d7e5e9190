"""Checkpoints: atomic, plain, and one message for whatever is wrong with a file."""

import os
import pickle
import stat

import pytest
import torch

from headctl.run import checkpoint
from headctl.run.checkpoint import (
    CheckpointError,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    load_snapshot,
    save_checkpoint,
    save_snapshot,
    write_atomically,
)
from headctl.selfplay.league import Snapshot

STATE = {"weights": torch.arange(3.0), "nested": {"steps": [1, 2]}, "big": 2**100, "name": "a", "none": None}


def same(loaded):
    assert torch.equal(loaded.pop("weights"), STATE["weights"])
    assert loaded == {key: value for key, value in STATE.items() if key != "weights"}


def test_what_was_saved_is_what_is_loaded(tmp_path):
    path = save_checkpoint(tmp_path, 1234, STATE, keep=3)
    assert path == checkpoint_path(tmp_path, 1234) == tmp_path / "checkpoints" / "step_000000001234.pt"
    same(load_checkpoint(path))


def test_only_the_newest_are_kept_by_age_and_not_by_spelling(tmp_path):
    assert list_checkpoints(tmp_path) == []
    for steps in (5, 90, 100, 1000, 20_000_000):
        save_checkpoint(tmp_path, steps, STATE, keep=3)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, steps) for steps in (100, 1000, 20_000_000)]
    save_snapshot(tmp_path, Snapshot(7, {"w": torch.ones(2)}))
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    save_checkpoint(tmp_path, 30_000_000, STATE, keep=1)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == ["notes.txt", "step_000030000000.pt"]
    assert load_snapshot(tmp_path, 7).agent_steps == 7


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error):
    path = save_checkpoint(tmp_path, 1, STATE, keep=1)
    before = path.read_bytes()

    def half_a_file(_, file):
        file.write(b"half")
        raise error

    monkeypatch.setattr(checkpoint.torch, "save", half_a_file)
    with pytest.raises(type(error)):
        save_checkpoint(tmp_path, 1, {"weights": torch.zeros(9)}, keep=1)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_new_file_appears_only_when_it_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "step_000000000001.pt"
    save = torch.save
    seen = []

    def look(content, file):
        save(content, file)
        seen.append((path.exists(), list_checkpoints(tmp_path)))

    monkeypatch.setattr(checkpoint.torch, "save", look)
    save_checkpoint(tmp_path, 1, STATE, keep=1)
    assert seen == [(False, [])]
    assert path.exists()


@pytest.mark.skipif(os.name == "nt", reason="modes of files are POSIX")
def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        path = save_checkpoint(tmp_path, 1, STATE, keep=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


class Hostile:
    """Its unpickling would leave a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_hostile_file_executes_nothing(tmp_path):
    trace = tmp_path / "executed"
    by_torch, plain = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save({"format": 1, "agent_steps": 1, "state": {"x": Hostile(trace)}}, by_torch)
    plain.write_bytes(pickle.dumps({"format": 1, "state": {"x": Hostile(trace)}}, protocol=2))
    for path in (by_torch, plain):
        with pytest.raises(CheckpointError, match=rf"{path.name}: cannot be read as a checkpoint"):
            load_checkpoint(path)
    assert not trace.exists()
    pickle.loads(plain.read_bytes())  # noqa: S301 - shows that the file is hostile indeed
    assert trace.exists()


def damaged(path, kind):
    whole = path.read_bytes()
    contents = {"empty": b"", "text": b"no checkpoint", "cut": whole[: len(whole) // 2], "head": whole[:100]}
    if kind in contents:
        path.write_bytes(contents[kind])
    else:
        torch.save(
            {
                "list": [1, 2],
                "tensor": torch.ones(3),
                "foreign": {"model": torch.ones(3)},
                "stateless": {"format": 1, "agent_steps": 1},
                "wrong state": {"format": 1, "agent_steps": 1, "state": 5},
                "newer": {"format": 99, "agent_steps": 1, "state": {}},
            }[kind],
            path,
        )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "cannot be read as a checkpoint"),
        ("text", "cannot be read as a checkpoint"),
        ("cut", "cannot be read as a checkpoint"),
        ("head", "cannot be read as a checkpoint"),
        ("list", "not a checkpoint of headctl"),
        ("tensor", "not a checkpoint of headctl"),
        ("foreign", "not a checkpoint of headctl"),
        ("stateless", "it holds no state"),
        ("wrong state", "it holds no state"),
        ("newer", "format 99; this version of headctl reads format 1"),
    ],
)
def test_files_that_are_damaged_or_foreign_are_named_in_one_line(tmp_path, kind, words):
    path = save_checkpoint(tmp_path, 1, STATE, keep=1)
    damaged(path, kind)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"step_000000000005\.pt: no such file"):
        load_checkpoint(checkpoint_path(tmp_path, 5))
    with pytest.raises(CheckpointError, match=r"000000000005\.pt: no such file"):
        load_snapshot(tmp_path, 5)
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "folder.pt")


def test_snapshots_come_back_and_know_their_age(tmp_path):
    save_snapshot(tmp_path, Snapshot(42, {"w": torch.ones(2, dtype=torch.float64)}))
    snapshot = load_snapshot(tmp_path, 42)
    assert snapshot.agent_steps == 42
    assert torch.equal(snapshot.state["w"], torch.ones(2, dtype=torch.float64))
    (tmp_path / "league" / "000000000042.pt").rename(tmp_path / "league" / "000000000043.pt")
    with pytest.raises(CheckpointError, match="was taken at 42 agent-steps, not at 43"):
        load_snapshot(tmp_path, 43)


def test_writing_makes_the_folder(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "c.pt", {"x": 1})
    assert torch.load(tmp_path / "a" / "b" / "c.pt", weights_only=True) == {"x": 1}
