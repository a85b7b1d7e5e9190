"""One process per run folder: a lock that dies with its process, however it dies."""

import contextlib
import fcntl
import os
import socket
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

LOCK_FILE = ".lock"
_TRIES, _PAUSE_S = 3, 0.05


class RunLockError(ValueError):
    """Another process works in the run folder, or the folder cannot be written to. One message."""


def is_held(run_dir: Path) -> bool | None:
    """Tells whether a process works in a run folder; ``None`` where the file system does not say.

    For the blink of an eye this takes a shared lock; :class:`RunLock` asks again before it refuses.
    """
    try:
        descriptor = os.open(run_dir / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)


class RunLock:
    """Holds a run folder for as long as the ``with`` block lasts.

    The kernel owns the lock (``flock``), not the file: a process that is killed leaves the file behind and the lock
    open, so a stale file blocks nobody. The file says who holds it, for the message.

    Attributes:
        run_dir: The run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        """Creates the lock without taking it.

        Args:
            run_dir: The run's folder; must exist.
        """
        self.run_dir = run_dir
        self._path = run_dir / LOCK_FILE
        self._descriptor: int | None = None
        self._folder: int | None = None

    def __enter__(self) -> Self:
        """Takes the lock.

        Raises:
            RunLockError: Another process has it, or no file can be made in the folder.
        """
        try:
            self._lock()
        except OSError as error:
            raise RunLockError(f"{self.run_dir} cannot be written to: {error.strerror or error}") from error
        return self

    def _lock(self) -> None:
        """Takes the lock, and notes which folder it is that is held.

        Raises:
            RunLockError: Another process has it.
            OSError: No file can be made in the folder.
        """
        held = None
        while held is None:
            held = self._locked(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
        self._release()
        self._descriptor = held
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(held, 0)
            os.write(held, f"process {os.getpid()} on {socket.gethostname()}".encode())
        # While it is open, no other folder gets its number.
        with contextlib.suppress(OSError):
            self._folder = os.open(self.run_dir, os.O_RDONLY | os.O_CLOEXEC)

    def holds(self) -> bool:
        """Tells whether the file of the lock still lies in the folder: neither was removed, moved or exchanged."""
        return self._descriptor is not None and self._is_in_place(self._descriptor)

    def is_same_folder(self) -> bool:
        """Tells whether the folder is the one whose lock was taken, whatever became of the file of the lock."""
        try:
            return self._folder is not None and os.path.samestat(os.fstat(self._folder), self.run_dir.stat())
        except OSError:
            return False

    def take_again(self) -> None:
        """Takes the lock of what lies at the folder's place now, and makes the folder where nothing does.

        Raises:
            RunLockError: Another process has it.
            OSError: Nothing can be made there.
        """
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self._lock()

    def _release(self) -> None:
        for descriptor in (self._descriptor, self._folder):
            if descriptor is not None:
                os.close(descriptor)
        self._descriptor = self._folder = None

    def _locked(self, descriptor: int) -> int | None:
        """Returns the descriptor once it is locked; ``None`` if the file was removed meanwhile by its last holder."""
        try:
            self._take(descriptor)
        except BlockingIOError as error:
            holder = os.read(descriptor, 200).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise RunLockError(
                f"{self.run_dir} is in use by {holder or 'another process'}; nothing was changed. Wait until it ends, "
                "stop it, or train under another --name"
            ) from error
        except OSError as error:
            warnings.warn(
                f"{self.run_dir}: this file system cannot lock ({error.strerror}); do not start a second process on "
                "this run",
                RuntimeWarning,
                stacklevel=3,
            )
            return descriptor
        if not self._is_in_place(descriptor):
            os.close(descriptor)
            return None
        return descriptor

    @staticmethod
    def _take(descriptor: int) -> None:
        """Takes the lock; somebody who only looks whether it is held has it for less than the pause."""
        for _ in range(_TRIES - 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_S)
            else:
                return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_in_place(self, descriptor: int) -> bool:
        """Tells whether the file of a descriptor is still the one that lies in the folder."""
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(descriptor))
        except OSError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the file and gives the lock back."""
        if self.holds():
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._release()
