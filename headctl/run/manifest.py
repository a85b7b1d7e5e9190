"""The manifest of a checkpoint: which files a resume reads, how large they are, and their hashes.

One JSON file per checkpoint in ``manifests/``, written after everything that it names: where it is missing, the
checkpoint was never finished. Loads no torch.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from headctl import __version__
from headctl.run import durable

MANIFESTS = "manifests"
MANIFEST_FORMAT = 1
MAX_BYTES = 4 << 20
_FILE_NAME = re.compile(r"(checkpoints/step_\d{12,18}|league/[\w+-][\w.+@-]*)\.pt")


class ManifestError(ValueError):
    """A manifest that is missing or says nothing that can be used. One line that names the file."""


@dataclass(frozen=True, slots=True)
class FileMark:
    """What a file is known by.

    Attributes:
        size: Its size in bytes.
        sha256: Its hash, in hexadecimal digits.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Returns the mark of a content."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


def manifest_path(run_dir: Path, checkpoint: Path) -> Path:
    """Returns where the manifest of a checkpoint lies."""
    return run_dir / MANIFESTS / f"{checkpoint.stem}.json"


def manifests(run_dir: Path) -> list[Path]:
    """Returns all manifests of a run."""
    return sorted((run_dir / MANIFESTS).glob("*.json"))


def write_manifest(run_dir: Path, checkpoint: Path, files: Mapping[str, FileMark]) -> None:
    """Writes the manifest: the act that makes a checkpoint count.

    Args:
        run_dir: The run's folder.
        checkpoint: The file of the checkpoint.
        files: Path in the run folder to mark, of every file that belongs to the checkpoint.

    Raises:
        OSError: It cannot be written.
    """
    content = {
        "manifest": MANIFEST_FORMAT,
        "headctl": __version__,
        "checkpoint": checkpoint.name,
        "files": {name: {"bytes": mark.size, "sha256": mark.sha256} for name, mark in files.items()},
    }
    durable.write_text(manifest_path(run_dir, checkpoint), json.dumps(content, indent=1) + "\n")


def remove_manifest(run_dir: Path, checkpoint: Path) -> None:
    """Removes the manifest of a checkpoint that shall no longer count."""
    manifest_path(run_dir, checkpoint).unlink(missing_ok=True)


def read_manifest(run_dir: Path, checkpoint: Path) -> dict[str, FileMark]:
    """Returns the marks of all files that belong to a checkpoint.

    Raises:
        ManifestError: No manifest, a damaged one, that of another checkpoint, or one that names files elsewhere.
    """
    path = manifest_path(run_dir, checkpoint)
    if not path.is_file():
        raise ManifestError(f"{checkpoint}: has no manifest {MANIFESTS}/{path.name}: writing it was never finished")
    if durable.leaves(path, run_dir):
        raise ManifestError(f"{path}: is a link that leads out of the run folder; it is not followed")
    try:
        size = path.stat().st_size
        content = json.loads(path.read_text(encoding="utf-8")) if size <= MAX_BYTES else None
        marks = {_checked_name(name): _mark(entry) for name, entry in content["files"].items()} if content else {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestError(f"{path}: is damaged: {type(error).__name__}") from error
    if content is None:
        raise ManifestError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; that is no manifest")
    if content.get("manifest") != MANIFEST_FORMAT:
        raise ManifestError(
            f"{path}: format {content.get('manifest')!r}, written by headctl {content.get('headctl')!r}; this version "
            f"of headctl reads format {MANIFEST_FORMAT}"
        )
    if content.get("checkpoint") != checkpoint.name:
        raise ManifestError(f"{path}: is the manifest of {content.get('checkpoint')!r}, not of {checkpoint.name}")
    return marks


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no file of a checkpoint")
    return name


def _mark(entry: Mapping[str, Any]) -> FileMark:
    size, sha256 = entry["bytes"], entry["sha256"]
    if not isinstance(size, int) or not isinstance(sha256, str):
        raise TypeError("bytes and sha256")
    return FileMark(size, sha256)
