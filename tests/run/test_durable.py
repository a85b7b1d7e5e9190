import os
import stat
from pathlib import Path

import pytest

from headctl.run import durable


def test_a_file_is_flushed_before_it_is_renamed_and_its_folder_afterwards(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor):
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self, target):
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    durable.write_bytes(tmp_path / "a", b"one")
    assert order == ["file", "rename", "folder"]
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    durable.write_text(tmp_path / "a", "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write_text(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    (tmp_path / f"{durable.UNFINISHED}77-x.pt").write_text("half")
    (tmp_path / "x.pt").write_text("whole")
    durable.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]
    durable.sweep(tmp_path / "missing")


def test_lines_are_added_and_links_are_not_followed(tmp_path):
    durable.append_line(tmp_path / "diary", "one")
    durable.append_line(tmp_path / "diary", "two")
    assert (tmp_path / "diary").read_text() == "one\ntwo\n"
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        durable.append_line(tmp_path / "link", "x")
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_link_out_of_a_folder_is_seen(tmp_path):
    inside = tmp_path / "run"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path / "elsewhere")
    (inside / "in").symlink_to(inside / "file")
    (inside / "deep").symlink_to(tmp_path)
    assert durable.leaves(inside / "out", inside)
    assert durable.leaves(inside / "deep" / "x", inside)
    assert durable.leaves(inside / ".." / "x", inside)
    assert not durable.leaves(inside / "in", inside)
    assert not durable.leaves(inside / "plain", inside)
