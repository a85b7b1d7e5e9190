"""The house stands: every module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "headctl.messages": -1,
    "headctl.entropy": 0,
    "headctl.policy": 1,
    "headctl.ppo": 2,
    "headctl.selfplay": 3,
    "headctl.run": 4,
    "headctl.commands": 5,
    "headctl.cli": 6,
    "headctl.__main__": 7,
    "headctl.integrations": 5,
}
KERNEL_MAY_IMPORT = {"torch", "headctl"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> set[str]:
    """Every module named by an import statement or by importlib.import_module with a literal, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


def floor(module: str) -> int | None:
    matches = [name for name in FLOORS if module == name or module.startswith(name + ".")]
    return FLOORS[max(matches, key=len)] if matches else None


@pytest.mark.parametrize("path", modules("headctl"), ids=dotted)
def test_module_imports_only_from_below(path):
    own = floor(dotted(path))
    if own is None:
        assert dotted(path) == "headctl", f"{dotted(path)} belongs to no floor"
        return
    room = ".".join(dotted(path).split(".")[:2])
    for name in imports(path.read_text()):
        other = floor(name)
        if other is not None and not name.startswith(room):
            assert other < own, f"{dotted(path)} (floor {own}) imports {name} (floor {other})"


@pytest.mark.parametrize("path", modules("headctl/entropy"), ids=dotted)
def test_kernel_imports_torch_only(path):
    import sys

    for name in imports(path.read_text()):
        top = name.split(".")[0]
        assert top in KERNEL_MAY_IMPORT or top in sys.stdlib_module_names, f"{dotted(path)} imports {name}"


@pytest.mark.parametrize("path", modules("envs/headctl_envs"), ids=lambda path: path.stem)
def test_environments_import_nothing_of_headctl(path):
    assert not {name for name in imports(path.read_text()) if name.split(".")[0] == "headctl"}


def test_a_wrong_import_would_be_seen():
    source = "from headctl.run.trainer import Trainer\nimportlib.import_module('headctl.ppo.learner')\n"
    found = imports(source)
    assert {floor(name) for name in found if floor(name) is not None} == {2, 4}
