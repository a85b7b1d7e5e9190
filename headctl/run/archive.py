"""Plain data in a ``torch.save`` archive: written as a tree, and read without executing anything or growing.

A file from a stranger may be made so that reading it runs code, or takes more memory or time than anybody has. So an
archive is looked at before anything is made of it (:func:`_check_archive`, :func:`_check_pickle`), and what was made is
looked at before anybody uses it (:func:`_check_tree`).
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MAX_DEPTH = 50
_NAMES = re.compile(
    r"torch\._utils _rebuild_tensor_v[23]|torch (\w+Storage|u?int\d+|b?float\w+|bool)|torch\.storage UntypedStorage"
    r"|collections OrderedDict"
)
_SHARED = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "GLOBAL"}
"""What may stand in many places: texts and names hold nothing else."""
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
_STRANGE = {"INST", "OBJ", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "DUP"}


def dump(content: Mapping[str, Any]) -> bytes:
    """Returns plain data as an archive: dicts, lists, tuples, tensors, numbers, texts and ``None``.

    What stands in two places is written twice, but for the numbers of tensors: :func:`load` takes trees only.
    """
    buffer = io.BytesIO()
    torch.save(_unshared(content), buffer)
    return buffer.getvalue()


def load(data: bytes) -> Any:
    """Returns what :func:`dump` wrote; executes nothing, and takes no more memory than a few times ``len(data)``.

    Raises:
        ValueError: Something that :func:`dump` does not write.
        Exception: A damaged archive can fail in any way inside zipfile or torch.
    """
    _check_archive(data)
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    _check_tree(content)
    return content


def _unshared(value: Any) -> Any:
    """Returns a copy in which every container and every tensor stands in one place; memory of tensors is not copied."""
    if isinstance(value, Mapping):
        return {key: _unshared(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        copies = [_unshared(entry) for entry in value]
        return copies if isinstance(value, list) else tuple(copies)
    return value.detach() if isinstance(value, Tensor) else value


def _check_archive(data: bytes) -> None:
    """Refuses archives that unpack to more than they are, and damaged ones: torch itself checks no sums.

    Raises:
        ValueError: Either.
        zipfile.BadZipFile: No archive at all.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its parts are compressed, which no checkpoint is")
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("its parts overlap")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"its part {damaged} is damaged")
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                _check_pickle(archive.read(entry))


def _check_pickle(pickled: bytes) -> None:
    """Refuses whatever is not a tree of tensors and plain data, before anything is made.

    torch's restricted loader executes nothing either, but it knows more than a checkpoint needs: a ``bytearray`` of any
    size, for one. And in thirty containers, each of which holds the next one twice, there is room for a billion
    numbers, over which every walk and every hash goes one by one.

    Raises:
        ValueError: A name that no checkpoint has in it, or a container that stands in two places.
    """
    shareable: dict[int, bool] = {}
    made = ""
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in _STRANGE:
            raise ValueError(f"it uses {name}, which no checkpoint does")
        if name == "GLOBAL" and not _NAMES.fullmatch(str(argument)):
            raise ValueError(f"it names {str(argument).replace(' ', '.')}, which no checkpoint does")
        if name in _PUTS:
            shareable[len(shareable) if argument is None else int(argument)] = made in _SHARED
        elif name not in _GETS:
            made = name
        elif argument is None or not shareable.get(int(argument), False):
            raise ValueError("a part of it stands in two places or contains itself, which no checkpoint does")


def _check_tree(content: Any) -> None:
    """Refuses what is no plain data, what is nested deeply, and tensors that are larger than what they are read from.

    A tensor with a stride of 0 is as large as it says, and its storage may be a single number.

    Raises:
        ValueError: Either; the message says where.
        TypeError: A name that is no name.
    """
    left: list[tuple[Any, str, int]] = [(content, "", 0)]
    while left:
        value, path, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"{path[:80]}...: is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, Tensor):
            stored = value.untyped_storage().nbytes() if value.layout is torch.strided else -1
            if value.numel() * value.element_size() > stored or value.device.type != "cpu":
                raise ValueError(f"{path}: is a tensor of shape {list(value.shape)} that is not all there")
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                if not isinstance(key, str | int):
                    raise TypeError(f"{path}: has a {type(key).__name__} as a name")
                left.append((entry, f"{path}.{key}" if path else str(key), depth + 1))
        elif isinstance(value, list | tuple):
            left += [(entry, f"{path}[{number}]", depth + 1) for number, entry in enumerate(value)]
        elif value is not None and not isinstance(value, str | int | float):
            raise ValueError(f"{path}: is a {type(value).__name__}, which no checkpoint has")
