"""What a newcomer relies on: the commands of the README, the pins, and no trace of one machine."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|root|tmp|farm|home|Users)/[\w.]")
HOSTS = "|".join("".join(pair) for pair in (("py", "pi"), ("python", "hosted"), ("npm", "js")))
"""Put together from halves, so that this file does not contain what it forbids."""
INDEX_HOST = re.compile(
    rf"index[-_]url|find[-_]links|\b(?:{HOSTS})\.(?:org|com|dev)", re.IGNORECASE
)
VENDORED = "service/static/vendor/"  # other people's files, unmodified


def tracked() -> list[str]:
    """Paths of the files under version control that hold text."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, or no git")
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    paths = [path for path in listing.stdout.split("\0") if path and (ROOT / path).is_file()]
    return [path for path in paths if b"\0" not in (ROOT / path).read_bytes()[:8000]]


def findings(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in tracked()
        if not path.startswith(VENDORED)
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    assert [] == findings(MACHINE_PATH)


def test_no_tracked_file_names_a_package_index() -> None:
    assert [] == findings(INDEX_HOST)


def test_the_patterns_find_what_they_forbid() -> None:
    slash = "/"
    for path in (f"cd {slash}work/main", f'"{slash}tmp/x"', f"{slash}root/.cache"):
        assert MACHINE_PATH.search(path)
    for path in ("docs/work/x", "https://example.org/home/x", "./tmp/x"):
        assert not MACHINE_PATH.search(path)
    assert INDEX_HOST.search(f"https://{HOSTS.split('|')[0]}.org/simple")


# --- Commands


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^(\w+):", makefile, re.MULTILINE))


def test_every_make_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"\bmake (\w+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "lint", "types", "bench"} <= named
    assert set() == named - targets()


def test_ci_runs_the_readmes_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line.startswith("make")]
    assert ["make test", "make lint", "make types"] == commands


# --- Pins and reasons


def pins() -> dict[str, str]:
    """Distribution -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {"=="} == {pin.operator for one in pinned for pin in one.specifier}
    return {canonicalize_name(one.name): str(one.specifier).lstrip("=") for one in pinned}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines if not line.startswith("forbear")]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_a_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_every_dependency_and_every_exception_has_its_reason() -> None:
    """A line of a list in pyproject.toml that is just a quoted word and no comment has none."""
    text = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(
        r"^(?:dependencies|ignore|plot|evaluate) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL
    )
    assert 4 == len(lists)
    lines = [line for block in lists for line in block.splitlines()]
    assert [] == [line for line in lines if "#" not in line]
