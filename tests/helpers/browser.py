"""A page in a real headless browser, cut off from the network."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_WATCH = """<script>
const faults = [];
const note = (what) => { faults.push(String(what)); document.documentElement.dataset.faults = JSON.stringify(faults); };
window.addEventListener("error", (event) => note(event.message), true);
window.addEventListener("unhandledrejection", (event) => note(event.reason));
for (const kind of ["error", "warn"]) {
  const before = console[kind];
  console[kind] = (...words) => { note(words.join(" ")); before.apply(console, words); };
}
</script>"""


@dataclass
class Seen:
    """What came of a page: its elements after all scripts, and everything that went wrong."""

    dom: str
    faults: list[str]


def opened(
    page: Path, scratch: Path, *, script: str = "", picture: Path | None = None, size: str = "1280,1000"
) -> Seen:
    """Opens a copy of the page whose errors are written down, runs ``script`` once it is drawn, and reads it back.

    ``script`` is the body of an async function; ``picture`` takes a screenshot as well.
    """
    watched = scratch / f"watched_{page.name}"
    later = (
        "<script>const wait = setInterval(async () => { if (!document.body.dataset.state) return; clearInterval(wait);"
        f"try {{ {script} }} catch (error) {{ note(error); }} document.body.dataset.done = 'yes'; }}, 50);</script>"
    )
    html = page.read_text(encoding="utf-8")
    watched.write_text(
        html.replace("<head>", f"<head>{_WATCH}", 1).replace("</body>", f"{later}</body>"), encoding="utf-8"
    )
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage",
        "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}",
        "--enable-logging=stderr", "--hide-scrollbars", f"--window-size={size}", "--virtual-time-budget=30000",
    ]  # fmt: skip
    assert CHROMIUM is not None
    command = [CHROMIUM, *flags, *([f"--screenshot={picture}"] if picture else ["--dump-dom"]), watched.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    found = re.search(r'<html[^>]* data-faults="([^"]*)"', done.stdout)
    faults = json.loads(unescape(found.group(1))) if found else []
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    faults += [line for line in said if re.search(r"Uncaught|Failed to load|Refused|ERR_|SyntaxError", line)]
    return Seen(done.stdout, faults)
