"""`.ci/bootstrap` on machines that differ, played by scripts that stand in for Python and pip.

A stand-in writes each command it gets into `calls`; nothing is downloaded.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "touch", "cp", "mkdir", "chmod", "rm")

PYTHON = """#!/bin/sh
echo "{name} $*" >> "$CALLS"
case "$*" in
    *version_info*) echo {version} ;;
    "-m venv --clear --without-pip .venv") pip=no ;;
    "-m venv --clear .venv") {venv} ;;
    "-m pip"*) {pip} ;;
esac
[ -z "$pip" ] || {{ rm -rf .venv; mkdir -p .venv/bin; cp "$INSIDE-$pip" .venv/bin/python; }}
"""

Machine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the bootstrap and nothing else that matters to it."""
    (tmp_path / "checkout" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "bootstrap", tmp_path / "checkout" / ".ci" / "bootstrap")
    return tmp_path / "checkout"


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def python(path: Path, version: str, *, ensurepip: bool = True) -> None:
    """A Python of that version; what it puts into .venv has pip only if it has ensurepip."""
    venv = "pip=yes" if ensurepip else "exit 1"
    text = PYTHON.format(name=path.name, version=version, venv=venv, pip="exit 1")
    executable(path, text)


@pytest.fixture
def bootstrap(checkout: Path, bin_dir: Path, tmp_path: Path) -> Machine:
    """Run it; `calls` then lists what it asked of the stand-ins."""
    for pip, answer in (("yes", "exit 0"), ("no", "exit 1")):
        text = PYTHON.format(name=".venv", version="3.12", venv="exit 1", pip=answer)
        executable(tmp_path / f"inside-{pip}", text)
    environment = {
        "PATH": str(bin_dir),
        "CALLS": str(tmp_path / "calls"),
        "INSIDE": str(tmp_path / "inside"),
        "HOME": str(tmp_path),
    }

    def run(**variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [checkout / ".ci" / "bootstrap"],
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def installs(tmp_path: Path) -> list[str]:
    calls = (tmp_path / "calls").read_text().splitlines()
    return [call for call in calls if " install " in call]


INSTALL = "install --quiet --constraint constraints.txt --editable .[dev]"


def test_a_good_python_fills_its_own_venv(
    bootstrap: Machine, bin_dir: Path, tmp_path: Path, checkout: Path
) -> None:
    python(bin_dir / "python3", "3.11")
    done = bootstrap()
    assert 0 == done.returncode, done.stderr
    assert [f".venv -m pip {INSTALL}"] == installs(tmp_path)
    assert (checkout / ".venv" / ".ready").exists()


def test_without_ensurepip_a_pip_from_outside_fills_the_venv(
    bootstrap: Machine, bin_dir: Path, tmp_path: Path
) -> None:
    python(bin_dir / "python3.12", "3.12", ensurepip=False)
    executable(bin_dir / "pip", '#!/bin/sh\necho "pip $*" >> "$CALLS"\n')
    done = bootstrap()
    assert 0 == done.returncode, done.stderr
    assert [f"pip --python .venv/bin/python {INSTALL}"] == installs(tmp_path)


def test_without_any_pip_the_next_python_is_tried(
    bootstrap: Machine, bin_dir: Path, tmp_path: Path
) -> None:
    python(bin_dir / "python3.12", "3.12", ensurepip=False)
    python(bin_dir / "python3.11", "3.11")
    done = bootstrap()
    assert 0 == done.returncode, done.stderr
    assert [f".venv -m pip {INSTALL}"] == installs(tmp_path)


@pytest.mark.parametrize("version", ["3.13", "3.10"])
def test_a_python_too_new_or_too_old_is_named_in_one_sentence(
    bootstrap: Machine, bin_dir: Path, checkout: Path, version: str
) -> None:
    python(bin_dir / "python3", version)
    done = bootstrap()
    assert (1, 1) == (done.returncode, done.stderr.count("\n"))
    assert done.stderr.startswith("forbear: Python 3.11 or 3.12 is needed")
    assert f"(python3 is {version}): install one" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_was_named_is_not_replaced_by_another(
    bootstrap: Machine, bin_dir: Path, tmp_path: Path
) -> None:
    python(bin_dir / "python3", "3.12")
    python(tmp_path / "my own", "3.13")
    done = bootstrap(PYTHON=str(tmp_path / "my own"))
    assert 1 == done.returncode
    assert f"({tmp_path / 'my own'} is 3.13): install one" in done.stderr


def test_a_pyenv_shim_that_answers_nothing_is_passed_over(
    bootstrap: Machine, bin_dir: Path, tmp_path: Path
) -> None:
    executable(bin_dir / "python3.12", "#!/bin/sh\nexit 127\n")
    versions = tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin"
    versions.mkdir(parents=True)
    python(versions / "python3", "3.12")
    done = bootstrap()
    assert 0 == done.returncode, done.stderr
    assert [f".venv -m pip {INSTALL}"] == installs(tmp_path)


def test_no_python_at_all_is_said(bootstrap: Machine) -> None:
    done = bootstrap()
    assert 1 == done.returncode
    assert "(no Python at all): install one" in done.stderr


def test_an_install_that_fails_is_not_called_ready(
    bootstrap: Machine, bin_dir: Path, checkout: Path
) -> None:
    python(bin_dir / "python3.12", "3.12", ensurepip=False)
    executable(bin_dir / "pip", '#!/bin/sh\ncase "$*" in *install*) exit 1 ;; esac\n')
    done = bootstrap()
    assert 1 == done.returncode
    assert "pip could not install into .venv" in done.stderr
    assert not (checkout / ".venv" / ".ready").exists()


def test_it_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "bootstrap", os.X_OK)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
