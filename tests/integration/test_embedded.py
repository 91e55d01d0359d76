"""The bundled server keeps what it acknowledged, runs once per directory and leaves no orphan."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from engine.errors import StoreError
from service.store import embedded
from service.store.data_dir import is_locked, kept_secret, prepare
from service.store.embedded import Server, start_server

Start = Callable[..., Server]
pytestmark = pytest.mark.usefixtures("short_tmp")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's death signal")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    """start_server, with every server ended when the test is over."""
    started: list[Server] = []

    def start_one(directory: Path = data_dir) -> Server:
        started.append(start_server(directory))
        return started[-1]

    yield start_one
    for server in reversed(started):
        server.stop()


def client(server: Server) -> Any:
    # Without retries: a lost connection must show as one.
    return Redis.from_url(server.url, retry=None, decode_responses=True)


def kill_and_wait(server: Server) -> None:
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.poll() is not None)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def run_script(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Run Python text in a process of its own, started from the repository."""
    argv = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, **options)


# --- What is acknowledged is kept


def test_it_writes_every_command_to_disk_and_never_evicts(start: Start) -> None:
    with client(start()) as redis:
        settings = redis.config_get("append*", "save", "port", "maxmemory-policy")
    expected = {
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "port": "0",
        "maxmemory-policy": "noeviction",
    }
    assert expected == {name: settings[name] for name in expected}


def test_two_thousand_acknowledged_entries_survive_sigkill(start: Start) -> None:
    """The server is killed while a writer is still at work: 2,000 acknowledged entries and more."""
    server = start()
    acknowledged: list[str] = []

    def write() -> None:
        with client(server) as redis:
            while True:
                try:
                    acknowledged.append(redis.xadd("events", {"payload": "x" * 100}))
                except RedisError:
                    return

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(acknowledged) >= 2_000, seconds=120.0)
    kill_and_wait(server)
    writer.join()
    with client(start()) as redis:
        stored = {entry for entry, _ in redis.xrange("events")}
    assert set() == set(acknowledged) - stored


def test_half_a_command_at_the_end_of_the_file_is_cut_off(start: Start, data_dir: Path) -> None:
    server = start()
    with client(server) as redis:
        redis.rpush("kept", "a", "b", "c")
    kill_and_wait(server)
    (aof,) = data_dir.glob("appendonlydir/*.incr.aof")
    with aof.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$4\r\nke")
    with client(start()) as redis:
        assert ["a", "b", "c"] == redis.lrange("kept", 0, -1)


def test_damage_before_the_end_of_the_file_is_refused_with_the_reason(
    start: Start, data_dir: Path
) -> None:
    server = start()
    with client(server) as redis:
        redis.rpush("kept", "a", "b", "c")
    kill_and_wait(server)
    (aof,) = data_dir.glob("appendonlydir/*.incr.aof")
    content = aof.read_bytes()
    aof.write_bytes(b"damaged" + content[7:])
    with pytest.raises(StoreError, match=r"Bad file format reading the append only file"):
        start_server(data_dir)
    assert b"damaged" + content[7:] == aof.read_bytes()


FILL_THE_DISK = """
    import json, sys
    from pathlib import Path
    from redis import Redis
    from redis.exceptions import RedisError
    from engine.errors import StoreError
    from service.store.embedded import start_server

    data = Path(sys.argv[1]) / "data"
    ballast = Path(sys.argv[1]) / "ballast"
    ballast.write_bytes(bytes(2**20))
    server = start_server(data)
    acknowledged, refusal = [], None
    redis = Redis.from_url(server.url, retry=None, decode_responses=True)
    try:
        while True:
            acknowledged.append(redis.xadd("events", {"payload": "x" * 10_000}))
    except RedisError:
        pass
    exit_code = server._process.wait(10)
    try:
        with open(Path(sys.argv[1]) / "rest", "wb", buffering=0) as rest:
            while True:
                rest.write(bytes(1024))
    except OSError:
        pass
    try:
        start_server(data)
    except StoreError as error:
        refusal = str(error)
    ballast.unlink()
    server = start_server(data)
    redis = Redis.from_url(server.url, retry=None, decode_responses=True)
    stored = {entry for entry, _ in redis.xrange("events")}
    server.stop()
    print(json.dumps({
        "exit_code": exit_code, "refusal": refusal,
        "acknowledged": len(acknowledged), "lost": len(set(acknowledged) - stored),
    }))
"""


def can_mount() -> bool:
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


@linux_only
def test_a_full_disk_loses_nothing_acknowledged_and_is_named(tmp_path: Path) -> None:
    """On a disk of 3 MiB: written until full, refused while full, complete once there is space."""
    if not can_mount():
        pytest.skip("no user namespace in which to mount a small disk")
    script = textwrap.dedent(FILL_THE_DISK)
    shell = 'mount -t tmpfs -o size=3m none "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, "sh", tmp_path, sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    result = json.loads(done.stdout)
    assert result["acknowledged"] > 10
    assert (1, 0) == (result["exit_code"], result["lost"])
    assert "No space left on device" in result["refusal"]
    assert "\n" not in result["refusal"]


# --- One server per directory


def test_a_second_start_attaches_and_its_stop_ends_nothing(start: Start) -> None:
    first = start()
    second = start()
    assert (first.url, first.pid, True) == (second.url, second.pid, second.attached)
    second.stop()
    assert None is first.poll()
    with client(first) as redis:
        assert redis.ping()


def test_an_attached_server_is_seen_to_end(start: Start) -> None:
    first, second = start(), start()
    assert None is second.poll()
    kill_and_wait(first)
    assert 1 == second.poll()


START_AND_WAIT = """
    import sys
    from pathlib import Path
    from service.store.embedded import start_server
    server = start_server(Path(sys.argv[1]))
    print(server.pid, flush=True)
    sys.stdin.read()
    server.stop()
"""


def test_starts_at_the_same_moment_share_one_server(data_dir: Path) -> None:
    scripts = [run_script(START_AND_WAIT, data_dir, stdin=subprocess.PIPE) for _ in range(4)]
    try:
        pids = {script.stdout.readline().strip() for script in scripts if script.stdout}
    finally:
        for script in scripts:
            script.communicate()
    assert 1 == len(pids - {""})
    assert "" not in pids


def test_a_directory_that_another_start_is_making_is_not_taken_for_something_else(
    tmp_path: Path,
) -> None:
    """Processes: what is drafted carries their number. Enough of them that the race is met."""
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(prepare, [tmp_path / str(n // 4) for n in range(2000)]))


def test_the_address_stays_the_same_after_a_crash(start: Start) -> None:
    first = start()
    kill_and_wait(first)
    assert first.url == start().url


def test_the_address_stays_the_same_for_who_goes_on_after_another_has_ended(start: Start) -> None:
    first, second = start(), start()
    first.stop()
    third = second.start_again()
    try:
        assert (second.url, False) == (third.url, third.attached)
        with client(second) as redis:
            assert redis.ping()
    finally:
        third.stop()


def test_a_server_that_has_moved_is_said_and_left_alone(start: Start) -> None:
    first, second = start(), start()
    first.stop()
    moved = start()
    assert moved.url != second.url
    with pytest.raises(StoreError, match=r"listens on unix://.* now, .*: start this service again"):
        second.start_again()
    assert None is moved.poll()


def test_a_copied_directory_does_not_take_over_the_originals_socket(
    start: Start, data_dir: Path, tmp_path: Path
) -> None:
    original = start()
    shutil.copytree(data_dir, tmp_path / "copy")
    copy = start(tmp_path / "copy")
    assert original.url != copy.url
    with client(original) as redis:
        assert original.pid == redis.info("server")["process_id"]


def test_an_orderly_stop_leaves_no_socket_behind(start: Start, data_dir: Path) -> None:
    server = start()
    runtime_dir = Path(server.url.removeprefix("unix://")).parent
    assert 0o700 == runtime_dir.stat().st_mode & 0o777
    server.stop()
    assert (0, False) == (server.poll(), runtime_dir.exists())
    assert not (data_dir / "socket").exists()


def test_a_late_clean_up_leaves_the_next_server_alone(start: Start) -> None:
    first = start()
    first.terminate()
    assert first._process is not None
    first._process.wait()
    second = start()
    assert 0 == first.poll()
    with client(second) as redis:
        assert redis.ping()


# --- No orphan


@linux_only
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_takes_the_server_with_it(data_dir: Path, death: signal.Signals) -> None:
    parent = run_script(START_AND_WAIT, data_dir, stdin=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline().strip().isdigit()
    assert is_locked(data_dir)
    parent.send_signal(death)
    parent.wait()
    wait_until(lambda: not is_locked(data_dir))
    parent.communicate()


def test_a_thread_that_may_end_early_cannot_be_the_parent(data_dir: Path) -> None:
    errors: list[BaseException] = []

    def start_in_thread() -> None:
        try:
            start_server(data_dir)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start_in_thread)
    thread.start()
    thread.join()
    assert "belongs to the main thread" in str(errors[0])
    assert not is_locked(data_dir)


# --- One sentence for what cannot work


def test_a_directory_of_another_format_is_refused_untouched(start: Start, data_dir: Path) -> None:
    start().stop()
    (data_dir / "format").write_text("7\n")
    before = sorted(path.name for path in data_dir.iterdir())
    with pytest.raises(StoreError, match=r"has format '7', this version of Forbear reads format 1"):
        start_server(data_dir)
    assert before == sorted(path.name for path in data_dir.iterdir())


def test_a_directory_of_something_else_is_refused_untouched(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "holiday.jpg").touch()
    with pytest.raises(StoreError, match=r"holds other files \(holiday.jpg, ...\)"):
        start_server(data_dir)
    assert ["holiday.jpg"] == [path.name for path in data_dir.iterdir()]


@pytest.mark.parametrize("name", ["format", "socket", "pseudonym_key"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00"])
def test_a_file_that_says_nothing_is_named_and_left(
    data_dir: Path, name: str, content: bytes
) -> None:
    prepare(data_dir)
    (data_dir / name).write_bytes(content)
    with pytest.raises(StoreError, match=rf"data/{name} is empty or not text; expected the .*: "):
        kept_secret(data_dir) if name == "pseudonym_key" else start_server(data_dir)
    assert content == (data_dir / name).read_bytes()


def test_the_secret_is_made_once_and_is_its_owners_alone(data_dir: Path) -> None:
    prepare(data_dir)
    with ProcessPoolExecutor(4) as pool:
        secrets = set(pool.map(kept_secret, [data_dir] * 8))
    assert 1 == len(secrets)
    assert 0o600 == (data_dir / "pseudonym_key").stat().st_mode & 0o777
    assert {"format", "pseudonym_key"} == {path.name for path in data_dir.iterdir()}


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be used \(Not a directory\): free some space"):
        start_server(tmp_path / "file" / "data")


def test_a_directory_that_cannot_be_written_is_named(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o500)
    if os.access(data_dir, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(StoreError, match=r"cannot be used \(Permission denied\)"):
        start_server(data_dir)


def test_a_socket_path_the_system_would_refuse_is_named(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with pytest.raises(StoreError, match=r"a unix socket allows 103: set TMPDIR"):
        start_server(data_dir)
    assert [] == list(long.iterdir())
    assert not is_locked(data_dir)


# --- Which server


@pytest.fixture
def path_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with no server bundled."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    return folder


def test_without_a_bundled_server_the_one_on_path_is_used(start: Start, path_dir: Path) -> None:
    bundled = subprocess.run(
        [sys.executable, "-c", "from service.store.embedded import *; print(find_server())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (path_dir / "redis-server").symlink_to(bundled.stdout.strip())
    with client(start()) as redis:
        assert redis.ping()


def test_a_server_that_is_too_old_is_named_with_both_fixes(path_dir: Path) -> None:
    old = path_dir / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 bits=64'\n")
    old.chmod(0o755)
    with pytest.raises(StoreError, match=r"redis-server is 6\.2\).*on PATH, or set REDIS_URL"):
        embedded.find_server()


def test_a_server_that_does_not_run_is_passed_over(path_dir: Path) -> None:
    broken = path_dir / "valkey-server"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    with pytest.raises(StoreError, match=r"valkey-server does not run here"):
        embedded.find_server()


def test_no_server_at_all_is_said_with_both_fixes(path_dir: Path) -> None:
    assert [] == list(path_dir.iterdir())
    with pytest.raises(StoreError, match=r"none on PATH\): put a .* or set REDIS_URL"):
        embedded.find_server()
