"""The house keeps its floors: who may import whom, who may print, and how long things may get."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "agriseg"

FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(rooms.split())
    for rooms in (
        "_version arrays bands errors geobox html_page legend machine processes settings threads "
        "yaml_file",
        "raster tiling",
        "indices",
        "models vector",
        "fields labels simulate",
        "runs",
        "farm",
        "pipeline",
        "evaluation",
        "training publish",
        "workflow",
        "cli",
    )
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
# The front doors stand above all floors: they only open onto the rooms.
DOORS = frozenset({"__init__", "__main__"})
TORCH_FREE = FLOORS[0] | frozenset(
    {"raster", "tiling", "indices", "vector", "fields", "labels", "runs", "farm", "publish"}
)
TORCH = frozenset(
    {
        "kornia",
        "lightning",
        "segmentation_models_pytorch",
        "timm",
        "torch",
        "torchgeo",
        "torchmetrics",
        "torchvision",
    }
)
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 80


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a file, from its path inside the package: raster/reader.py -> raster."""
    return parts[0].removesuffix(".py")


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported anywhere in `tree`, functions included.

    Args:
        tree: A module.
        package: Parts of the package that the module lies in, to resolve relative imports.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join((*base, *([node.module] if node.module else [])))
            # `from agriseg import raster` imports a room as much as `import agriseg.raster`.
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            text = node.args[0]
            if name in ("import_module", "__import__") and isinstance(text, ast.Constant):
                yield node.lineno, str(text.value)


def rooms_used(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of agriseg's own."""
    for line, name in imported(tree, package):
        top, _, rest = name.partition(".")
        if top == "agriseg":
            room = rest.partition(".")[0]
            yield line, "_version" if room == "__version__" else room


def floor_faults(source: str, path: str) -> list[str]:
    """What is wrong with the imports of the file `path` (inside the package), in words."""
    parts = tuple(path.split("/"))
    room = room_of(parts)
    if room in DOORS:
        return []
    if room not in LEVEL:
        return [f"{path}: the room {room!r} has no floor; give it one in this test"]
    tree = ast.parse(source)
    package = ("agriseg", *parts[:-1])
    faults = []
    for line, other in rooms_used(tree, package):
        if other == room:
            continue
        if other not in LEVEL:
            faults.append(f"{path}:{line} imports {other!r} from the front door; name its room")
        elif LEVEL[other] > LEVEL[room]:
            faults.append(f"{path}:{line} imports {other!r} from a floor above")
        elif LEVEL[other] == LEVEL[room] and LEVEL[room] > 0:
            faults.append(f"{path}:{line} imports {other!r} from the same floor")
    if room in TORCH_FREE:
        for line, name in imported(tree, package):
            if name.partition(".")[0] in TORCH:
                faults.append(f"{path}:{line} imports {name}: {room} does without torch")
    return faults


def print_faults(source: str, path: str) -> list[str]:
    """Calls of print() outside the command line and what `python -m` runs."""
    if path.startswith("cli/") or path.endswith("__main__.py"):
        return []
    return [
        f"{path}:{node.lineno} prints"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "pprint")
    ]


def length_faults(source: str, path: str) -> list[str]:
    lines = source.count("\n")
    faults = [f"{path} has {lines} lines"] if lines >= MAX_FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            # A command's options are declared in its signature, one by one: its body counts.
            first = node.body[0].lineno if path.startswith("cli/") else node.lineno
            length = node.end_lineno - first + 1
            if length >= MAX_FUNCTION_LINES:
                faults.append(f"{path}:{node.lineno} {node.name}() has {length} lines")
    return faults


def over_all_files(check) -> list[str]:
    return [
        fault
        for path in source_files()
        for fault in check(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).as_posix())
    ]


def test_the_package_is_found() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in source_files()}
    assert {"errors.py", "geobox.py", "tiling/grid.py"} <= names


def test_imports_go_down_only() -> None:
    assert not over_all_files(floor_faults)


def test_only_the_command_line_prints() -> None:
    assert not over_all_files(print_faults)


def test_files_and_functions_stay_short() -> None:
    assert not over_all_files(length_faults)


def test_the_lowest_floor_has_no_circle() -> None:
    graph = {}
    for room in FLOORS[0]:
        tree = ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
        graph[room] = {other for _, other in rooms_used(tree, ("agriseg",))}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")
    assert set(order) == FLOORS[0]


def test_what_is_imported_is_asked_for() -> None:
    """A library that comes along with another one may stay away with its next version."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    asked = {
        re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-")
        for line in (
            *project["project"]["dependencies"],
            *(line for extra in ("int8", "notebook", "onnx") for line in extras[extra]),
        )
    }
    homes = importlib.metadata.packages_distributions()
    faults = []
    for path in source_files():
        package = ("agriseg", *path.relative_to(PACKAGE).parts[:-1])
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8")), package):
            top = name.partition(".")[0]
            if top == "agriseg" or top in sys.stdlib_module_names:
                continue
            if not {home.lower().replace("_", "-") for home in homes.get(top, [top])} & asked:
                faults.append(f"{path.relative_to(PACKAGE)}:{line} imports {top}")
    assert not faults


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("raster/reader.py", "from agriseg.models import load_model"),
        ("raster/reader.py", "import agriseg.tiling.grid"),
        ("raster/reader.py", "from agriseg import tiling"),
        ("raster/reader.py", "from ..tiling import ChipGrid"),
        ("raster/reader.py", "def f():\n    from agriseg.cli import main"),
        ("raster/reader.py", "from agriseg import segment"),
        ("raster/reader.py", "import importlib\nimportlib.import_module('agriseg.pipeline')"),
        (
            "errors.py",
            "import typing\nif typing.TYPE_CHECKING:\n    import agriseg.runs",
        ),
        ("vector/seams.py", "import torch.nn"),
        ("fields/zonal.py", "def f():\n    from torchgeo.datasets import NAIP"),
        ("training/task.py", "from agriseg.publish import report"),
        ("attic/box.py", ""),
    ],
)
def test_a_wrong_import_is_seen(path: str, source: str) -> None:
    assert floor_faults(source, path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("geobox.py", "from agriseg.errors import OptionError"),
        ("raster/reader.py", "from agriseg.raster.scene import Scene\nfrom .masks import Mask"),
        ("raster/reader.py", "from agriseg import __version__\nfrom agriseg.geobox import Window"),
        ("models/unet.py", "import torch\nfrom agriseg.tiling import ChipGrid"),
        ("cli/segment.py", "from agriseg.workflow import segment\nimport torchgeo"),
        ("__init__.py", "from agriseg.cli import main"),
    ],
)
def test_a_right_import_passes(path: str, source: str) -> None:
    assert not floor_faults(source, path)


def test_a_print_and_a_long_function_are_seen() -> None:
    assert print_faults("def f():\n    print(1)\n", "raster/reader.py")
    assert not print_faults("print(1)\n", "cli/segment.py")
    assert not print_faults("print(1)\n", "simulate/__main__.py")
    long = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
    assert length_faults(long, "raster/reader.py")
    assert length_faults(long, "cli/segment.py")
    assert length_faults("x = 1\n" * MAX_FILE_LINES, "raster/reader.py")
    assert not length_faults("def f():\n    return 1\n", "raster/reader.py")
