"""The floors of the house: a module imports lower floors and its own folder, nothing beside or above."""

import ast
from pathlib import Path

import pytest

import rgz

ROOT = Path(rgz.__file__).parent
FLOORS = {
    "_kernels": 1,
    "arrays": 2, "config": 2, "cores": 2, "cpu": 2, "errors": 2, "files": 2, "guests": 2, "memory": 2, "messages": 2,
    "plot": 2, "safetensors": 2, "schedules": 2, "strict": 2, "text": 2, "threads": 2,
    "data": 3, "nn": 3, "ops": 3, "optim": 3,
    "augment": 4, "models": 4,
    "export": 5, "generate": 5, "train": 5,
    "serve": 6,
    "cli": 7, "compat": 7,
    "__main__": 8,  # the door of `python -m rgz`
}  # fmt: skip
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(source: str) -> set[str]:
    """First name below rgz of every import in the source, inside functions too; type-checking ones do not count."""
    found = set()
    for node in [n for statement in ast.parse(source).body for n in walk(statement)]:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rgz":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rgz.")}
    return found


def walk(node: ast.AST):
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down_only(module):
    room = module.parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the public face names all floors, lazily
    for name in imports((ROOT / module).read_text(encoding="utf-8")) - {"__version__"}:
        assert name == room or FLOORS[name] < FLOORS[room] or same_floor_of_single_files(name, room), (
            f"{module} (floor {FLOORS[room]}) imports rgz.{name} (floor {FLOORS[name]})"
        )


def same_floor_of_single_files(name: str, room: str) -> bool:
    """Floor 2 is one room of small files, text included; they may use one another (Python refuses cycles itself)."""
    return FLOORS[name] == FLOORS[room] == 2


def test_the_reader_of_imports_sees_every_kind():
    source = "import rgz.cli\ndef f():\n    from rgz.train.step import x\nfrom rgz import ops\n"
    assert imports(source) == {"cli", "train", "ops"}
    assert imports("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rgz.cli import y\n") == set()
