"""The configuration file of a running service: two workers, one file, no restart."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_http_serve import Running, serving, wait_until

CAPPED = "rules: {{caps: {caps}}}\nmessages: {{sale: {{}}}}\n"


def configuration(running: Running) -> Any:
    return running.client.get("/v1/configuration").raise_for_status().json()


def with_faults(running: Running) -> Any:
    """The configuration as told by a worker that has seen what is wrong with the file."""
    told: list[Any] = []

    def seen() -> bool:
        told.append(configuration(running))
        return bool(told[-1]["file"]["faults"])

    wait_until(seen)
    return told[-1]


def caps(running: Running) -> str:
    found: str = configuration(running)["configuration"]["rules"]["caps"]
    return found


def actions(running: Running, user: str, times: int) -> list[str | None]:
    return [running.decide(user)["action"] for _ in range(times)]


def test_a_file_is_taken_up_while_running_and_a_bad_one_is_not(tmp_path: Path) -> None:
    """A cap of 1, then of 2, then of 0, which is none: the 2 stays, and what is wrong is told."""
    path = tmp_path / "forbear.yaml"
    path.write_text(CAPPED.format(caps="1/7d"))
    with serving("--workers", "2", "--config", str(path)) as running:
        assert ["sale", None] == actions(running, "u1", 2)

        path.write_text(CAPPED.format(caps="2/7d"))
        wait_until(lambda: caps(running) == "2/7d")
        assert ["sale", None] == actions(running, "u1", 2)

        before = configuration(running)
        path.write_text(CAPPED.format(caps="0/7d"))
        told = with_faults(running)
        assert told["file"]["faults"][0].startswith("forbear.yaml:1: cap '0/7d' of '0/7d' cannot")
        assert (before["version"], "2/7d") == (told["version"], caps(running))
        assert ["sale", "sale", None] == actions(running, "u2", 3)

        entries = running.client.get("/v1/audit").json()["entries"]
        assert ["file", "file"] == [entry["by"] for entry in entries if entry["by"] == "file"]


def forbear(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("text", "code"), [("rules: {caps: 3/7d}\n", 0), ("ruels: {}\n", 1)])
def test_check_says_by_its_exit_code_whether_a_file_is_in_order(
    tmp_path: Path, text: str, code: int
) -> None:
    path = tmp_path / "forbear.yaml"
    path.write_text(text)
    ran = forbear("check", str(path))
    assert (code, code == 0, code == 1) == (ran.returncode, bool(ran.stdout), bool(ran.stderr))


def test_serve_tells_of_a_bad_file_before_it_starts_anything(tmp_path: Path) -> None:
    path = tmp_path / "forbear.yaml"
    path.write_text("rules:\n  capps: 3/7d\n")
    data = tmp_path / "data"
    ran = forbear("serve", "--port", "0", "--config", str(path), "--data-dir", str(data))
    assert (2, "") == (ran.returncode, ran.stdout)
    assert ran.stderr.startswith("forbear: forbear.yaml:2: 'capps' is not a key of rules; expected")
    assert not data.exists()
