"""A reader of Tacview ACMI 2.2 text that knows nothing of the writer."""

import re
import zipfile
from pathlib import Path


def read_acmi(path):
    """Returns (global properties, frames, events).

    A frame is ``(seconds, {id: properties})`` with everything that is known of every living object; ``T`` is a list of
    floats. An event is ``(seconds, [kind, ...])``; a removal is the event ``["removed", id]``.
    """
    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            assert name.endswith(".txt.acmi")
            text = archive.read(name).decode("utf-8")
    else:
        text = path.read_bytes().decode("utf-8")
    lines = text.split("\n")
    assert lines[:2] == ["FileType=text/acmi/tacview", "FileVersion=2.2"]
    assert lines.pop() == "", "the last line is complete"
    header, objects, frames, events, time, dead = {}, {}, [], [], None, set()
    for line in lines[2:]:
        if line.startswith("#"):
            if time is not None:
                frames.append((time, {number: dict(known) for number, known in objects.items()}))
            assert time is None or float(line[1:]) > time, "frames go forward"
            time = float(line[1:])
        elif line.startswith("-"):
            objects.pop(int(line[1:], 16))  # a KeyError where it was not there
            dead.add(int(line[1:], 16))
            events.append((time, ["removed", int(line[1:], 16)]))
        else:
            number, *pairs = re.split(r"(?<!\\),", line)
            known = header if number == "0" else objects.setdefault(int(number, 16), {})
            assert int(number, 16) not in dead, "numbers are never used again"
            for name, value in (pair.replace("\\,", ",").split("=", 1) for pair in pairs):
                if number == "0" and name == "Event":
                    events.append((time, value.split("|")))
                elif name == "T":
                    old = known.get("T") or [None] * (value.count("|") + 1)
                    parts = [float(new) if new else was for new, was in zip(value.split("|"), old, strict=True)]
                    known["T"] = parts
                else:
                    known[name] = value
    frames.append((time, {number: dict(known) for number, known in objects.items()}))
    return header, frames, events
