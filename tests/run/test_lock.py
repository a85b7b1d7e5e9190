"""One process per run folder; nothing that a killed one leaves behind blocks the next."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from headctl.run.config import RunConfig
from headctl.run.folder import create_run_folder
from headctl.run.lock import LOCK_FILE, RunLock, RunLockError, is_held

HOLD = """
import sys, time
from pathlib import Path
from headctl.run.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_who_works_there(tmp_path, holder):
    with (
        pytest.raises(RunLockError, match=rf"is in use by process {holder.pid} on .*nothing was changed"),
        RunLock(tmp_path),
    ):
        pass


def test_a_lock_dies_with_its_process_and_its_file_blocks_nobody(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    with RunLock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()
    assert not (tmp_path / LOCK_FILE).exists()
    with RunLock(tmp_path), pytest.raises(RunLockError, match="in use"), RunLock(tmp_path):
        pass


def test_looking_whether_a_run_is_trained_disturbs_nobody(tmp_path, holder):
    assert is_held(tmp_path) is True
    assert is_held(tmp_path / "nowhere") is False
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_FILE).exists()
    assert is_held(tmp_path) is False
    assert (tmp_path / LOCK_FILE).exists()
    # Somebody who looks just when the lock is taken: it is tried again.
    looker = os.open(tmp_path / LOCK_FILE, os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    threading.Timer(0.03, os.close, [looker]).start()
    with RunLock(tmp_path):
        assert is_held(tmp_path) is True
    assert is_held(tmp_path) is False


def test_force_does_not_delete_a_run_that_is_being_trained(tmp_path):
    run = tmp_path / "run"
    create_run_folder(run, RunConfig())
    (run / "metrics.jsonl").write_text("precious")
    with RunLock(run), pytest.raises(RunLockError, match="in use"):
        create_run_folder(run, RunConfig(), force=True)
    assert (run / "metrics.jsonl").read_text() == "precious"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(RunLockError, match="missing cannot be written to: No such file"), RunLock(tmp_path / "missing"):
        pass
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunLockError, match="cannot be written to"), RunLock(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(RuntimeWarning, match="cannot lock"), RunLock(tmp_path):
        pass


def test_a_file_that_its_last_holder_removed_is_not_locked(tmp_path, monkeypatch):
    flock = fcntl.flock

    def removed_meanwhile(descriptor, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / LOCK_FILE).unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with RunLock(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
        with pytest.raises(RunLockError), RunLock(tmp_path):
            pass
