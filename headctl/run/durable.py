"""Files that are whole or not there at all, on disk and not only in a cache, and that stay inside their folder.

Loads no torch. A file is written beside its place, flushed to the disk and renamed; the folder is flushed too, because
the name of a new file is part of the folder. After a kill or a power failure the place holds the old file or the new
one, never half of one; what may stay behind is a file that begins with :data:`UNFINISHED`.
"""

import contextlib
import os
from pathlib import Path

UNFINISHED = ".writing-"


def write_bytes(path: Path, data: bytes) -> None:
    """Puts a file in its place, whole; makes the folder where it is missing.

    Args:
        path: The place.
        data: All of its content.

    Raises:
        OSError: The disk is full, the folder cannot be written to ...; the old file is still there then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # An ordinary open, not mkstemp: that makes files which only their owner may read.
    temporary = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Does for UTF-8 text what :func:`write_bytes` does.

    Raises:
        OSError: As there.
    """
    write_bytes(path, text.encode("utf-8"))


def append_line(path: Path, line: str) -> None:
    """Adds a line to a diary in one write.

    Raises:
        OSError: The disk is full, the folder is gone ...
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        os.write(descriptor, (line + "\n").encode("utf-8"))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to the disk.

    Raises:
        OSError: The disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Removes what writes that were killed have left in a folder. Only for the one process that writes there."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob(f"{UNFINISHED}*"):
            leftover.unlink(missing_ok=True)


def leaves(path: Path, root: Path) -> bool:
    """Tells whether a path, with every symbolic link followed, leads out of a folder."""
    return not path.resolve().is_relative_to(root.resolve())
