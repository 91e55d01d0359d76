"""Several processes as one: started in order, restarted, ended in order, never left behind.

Every test runs a real supervisor in a process of its own, over toy children that note in one
journal what happens to them, a line each: "api-0 started 4711", "api-0 got SIGTERM", "api-0 ended".
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StoreError
from service.store.data_dir import is_locked
from service.store.embedded import start_server
from service.supervisor import Child, Running, command, run

pytestmark = pytest.mark.usefixtures("short_tmp")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's death signal")

TOY = """
import os, signal, socket, sys, time
name, journal, behaviour = sys.argv[1:4]
fd = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def say(words):
    os.write(fd, f"{name} {words}\\n".encode())

def end(number, frame):
    say(f"got {signal.Signals(number).name}")
    if behaviour != "stubborn":
        time.sleep(0.1)
        say("ended")
        sys.exit(0)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, end)
say(f"started {os.getpid()}")
if behaviour == "dying":
    sys.exit(3)
if behaviour == "serving":
    listener = socket.socket(fileno=int(sys.argv[4]))
    while True:
        connection, _ = listener.accept()
        connection.sendall(str(os.getpid()).encode())
        connection.close()
while True:
    time.sleep(60)
"""

SUPERVISOR = """
import json, sys
from pathlib import Path
from engine.errors import StoreError
from service.store.embedded import start_server
from service.supervisor import Child, already_running, command, run

toy, journal, keep, specs = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def refuse():
    raise StoreError("no server was found: install one")

def start_of(name, behaviour):
    if behaviour == "refused":
        return refuse
    if behaviour == "bundled":
        data = Path(journal).parent / "data"
        server = start_server(data)
        return already_running(server, server.start_again)
    argv = [sys.executable, "-c", toy, name, journal, behaviour, str(keep)]
    return command(argv, pass_fds=(keep,))

sys.exit(run([
    Child(name, start_of(name, behaviour), stage, grace_s=0.5)
    for name, stage, behaviour in specs
]))
"""

SERVICE = [
    ("server", 0, "plain"),
    ("learner", 1, "plain"),
    ("api-0", 2, "plain"),
    ("api-1", 2, "plain"),
]


class Supervised:
    """A supervisor at work, its journal, and the pipe that its children hold open."""

    def __init__(self, tmp_path: Path, keep: int, children: list[tuple[str, int, str]]) -> None:
        self.journal_path = tmp_path / "journal"
        self.journal_path.touch()
        script = textwrap.dedent(SUPERVISOR)
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, TOY, self.journal_path, str(keep), json.dumps(children)],
            pass_fds=(keep,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def journal(self) -> list[str]:
        return self.journal_path.read_text().splitlines()

    def starts(self, name: str) -> list[int]:
        prefix = f"{name} started "
        return [int(line.removeprefix(prefix)) for line in self.journal() if prefix in line]

    def wait_for_starts(self, **counts: int) -> None:
        wait_until(
            lambda: all(
                len(self.starts(name.replace("_", "-"))) >= count for name, count in counts.items()
            )
        )

    def end(self) -> tuple[int, str]:
        """Wait until the supervisor has ended: its exit code and standard error."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for descriptor in ends:
        try:
            os.close(descriptor)
        except OSError:
            continue


@pytest.fixture
def supervise(tmp_path: Path, pipe: tuple[int, int]) -> Iterator[Callable[..., Supervised]]:
    """Start a supervisor over toy children; whatever a test does, it is ended afterwards."""
    begun: list[Supervised] = []

    def begin(children: list[tuple[str, int, str]], keep: int | None = None) -> Supervised:
        begun.append(Supervised(tmp_path, pipe[1] if keep is None else keep, children))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.terminate()
        one.process.communicate(timeout=30)


def all_gone(pipe: tuple[int, int]) -> bool:
    """Whether no process holds the pipe's writing end any more."""
    readable, _, _ = select.select([pipe[0]], [], [], 0)
    return bool(readable) and os.read(pipe[0], 1) == b""


# --- The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_api_then_learner_then_server(
    supervise: Callable[..., Supervised], number: signal.Signals
) -> None:
    service = supervise(SERVICE)
    service.wait_for_starts(server=1, learner=1, api_0=1, api_1=1)
    os.killpg(service.process.pid, number)  # what a terminal does on Ctrl-C
    assert 0 == service.end()[0]
    ending = [line for line in service.journal() if " started " not in line]
    both = {f"api-{worker} {words}" for worker in (0, 1) for words in ("got SIGTERM", "ended")}
    assert both == set(ending[:4])
    below = ["learner got SIGTERM", "learner ended", "server got SIGTERM", "server ended"]
    assert below == ending[4:]


def test_children_start_from_the_lowest_stage(capsys: pytest.CaptureFixture[str]) -> None:
    """The order of the list does not matter; a last child that refuses ends the run."""
    order: list[str] = []

    def child(name: str, stage: int) -> Child:
        def start() -> Running:
            order.append(name)
            if name == "refused":
                raise StoreError("no server was found: install one")
            return command([sys.executable, "-c", "import time; time.sleep(60)"])()

        return Child(name, start, stage)

    assert 1 == run([child("api", 2), child("refused", 3), child("server", 0), child("learner", 1)])
    assert ["server", "learner", "api", "refused"] == order
    assert "forbear: no server was found: install one\n" == capsys.readouterr().err


def test_repeated_signals_change_nothing(supervise: Callable[..., Supervised]) -> None:
    service = supervise(SERVICE)
    service.wait_for_starts(server=1, learner=1, api_0=1, api_1=1)
    for _ in range(10):
        service.process.send_signal(signal.SIGINT)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    assert 0 == service.end()[0]
    assert 4 == sum(line.endswith("got SIGTERM") for line in service.journal())
    assert 4 == sum(line.endswith("ended") for line in service.journal())


def test_a_child_that_will_not_end_is_killed_and_the_rest_still_ends_in_order(
    supervise: Callable[..., Supervised], pipe: tuple[int, int]
) -> None:
    service = supervise([("server", 0, "plain"), ("learner", 1, "stubborn")])
    service.wait_for_starts(server=1, learner=1)
    service.process.terminate()
    assert 0 == service.end()[0]
    expected = ["learner got SIGTERM", "server got SIGTERM", "server ended"]
    assert expected == service.journal()[-3:]
    os.close(pipe[1])
    assert all_gone(pipe)


@linux_only
def test_sigkill_of_the_supervisor_leaves_no_orphan(
    supervise: Callable[..., Supervised], pipe: tuple[int, int]
) -> None:
    service = supervise([*SERVICE, ("mule", 2, "stubborn")])
    service.wait_for_starts(server=1, learner=1, api_0=1, api_1=1, mule=1)
    os.close(pipe[1])
    assert not all_gone(pipe)
    service.process.kill()
    wait_until(lambda: all_gone(pipe))


# --- Deaths


def test_a_dead_child_is_restarted_and_the_others_are_left_alone(
    supervise: Callable[..., Supervised],
) -> None:
    service = supervise(SERVICE)
    service.wait_for_starts(server=1, learner=1, api_0=1, api_1=1)
    os.kill(service.starts("learner")[0], signal.SIGKILL)
    service.wait_for_starts(learner=2)
    service.process.terminate()
    assert 0 == service.end()[0]
    counts = [len(service.starts(name)) for name, _, _ in SERVICE]
    assert [1, 2, 1, 1] == counts
    assert "learner ended" in service.journal()


def test_a_child_that_dies_again_and_again_ends_everything_with_a_sentence(
    supervise: Callable[..., Supervised], pipe: tuple[int, int]
) -> None:
    service = supervise([("server", 0, "plain"), ("learner", 1, "dying")])
    code, errors = service.end()
    assert 1 == code
    assert 5 == len(service.starts("learner"))
    assert "server ended" == service.journal()[-1]
    expected = "learner ended 5 times within 60 seconds (the last time: exit code 3)"
    assert expected in errors.splitlines()[-1]
    os.close(pipe[1])
    assert all_gone(pipe)


def test_a_child_that_cannot_be_started_ends_what_was_started(
    supervise: Callable[..., Supervised],
) -> None:
    service = supervise([("server", 0, "plain"), ("learner", 1, "refused"), ("api", 2, "plain")])
    code, errors = service.end()
    assert (1, "forbear: no server was found: install one") == (code, errors.splitlines()[-1])
    assert [] == service.starts("api")


def test_a_signal_while_a_restart_is_pending_ends_at_once(
    supervise: Callable[..., Supervised],
) -> None:
    service = supervise([("server", 0, "plain"), ("learner", 1, "dying")])
    service.wait_for_starts(server=1, learner=3)
    service.process.terminate()
    assert 0 == service.end()[0]
    assert "server ended" == service.journal()[-1]
    assert len(service.starts("learner")) < 5


# --- Together with what they are for


def test_workers_share_one_listening_socket_over_a_restart(
    supervise: Callable[..., Supervised],
) -> None:
    """One of two workers is killed; no connection is refused and both pids answer in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(None)
        children = [("api-0", 0, "serving"), ("api-1", 0, "serving")]
        service = supervise(children, keep=listener.fileno())
        service.wait_for_starts(api_0=1, api_1=1)
        address = listener.getsockname()
        assert answer(address) in service.starts("api-0") + service.starts("api-1")
        killed, survivor = service.starts("api-0")[0], service.starts("api-1")[0]
        os.kill(killed, signal.SIGKILL)
        # Until it is gone it may still take a connection, which then ends unanswered.
        wait_until(lambda: not is_there(killed))
        assert answer(address) in [survivor, *service.starts("api-0")[1:]]
        service.wait_for_starts(api_0=2)
        successor = service.starts("api-0")[1]
        wait_until(lambda: answer(address) == successor)
        wait_until(lambda: answer(address) == survivor)
        service.process.terminate()
        assert 0 == service.end()[0]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answer(address: tuple[str, int]) -> int:
    with socket.create_connection(address, timeout=10) as connection:
        return int(connection.recv(20))


def test_the_bundled_server_is_restarted_and_ended_like_any_child(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    service = supervise([("server", 0, "bundled"), ("learner", 1, "plain")])
    service.wait_for_starts(learner=1)
    data_dir = tmp_path / "data"
    first = start_server(data_dir)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: first.poll() is not None)
    wait_until(lambda: is_locked(data_dir))
    second: Any = start_server(data_dir)
    assert (first.url, True) == (second.url, second.attached)
    assert first.pid != second.pid
    service.process.terminate()
    assert 0 == service.end()[0]
    assert not is_locked(data_dir)
    assert not (data_dir / "socket").exists()


def test_a_second_service_on_the_same_data_goes_on_when_the_first_has_ended(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    """Its children know the address of the server they began with, and no other."""
    first = supervise([("server", 0, "bundled"), ("one", 1, "plain")])
    first.wait_for_starts(one=1)
    second = supervise([("server", 0, "bundled"), ("two", 1, "plain")])
    second.wait_for_starts(two=1)
    known = start_server(tmp_path / "data")
    first.process.terminate()
    assert 0 == first.end()[0]
    wait_until(lambda: is_locked(tmp_path / "data"))
    again = start_server(tmp_path / "data")
    assert (known.url, True) == (again.url, again.attached)
    assert again.pid != known.pid
    second.process.terminate()
    assert 0 == second.end()[0]
