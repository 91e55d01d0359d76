"""Several processes as one: started in order, restarted when they die, ended together.

Children belong to stages (server 0, learner 1, API workers 2). Stages start in ascending order and
end in descending order, each only when the one above has ended: nobody loses the server while he
still needs it. SIGTERM, SIGINT or SIGHUP asks for that end once; further ones change nothing. A
child that outlives its grace period is killed.

A dead child is started again after a delay that doubles. When one dies too often, everything ends
with a sentence: a service that restarts for ever looks alive and is not.

Assumes that children are made by `command` or `start_server`, which see to it that they end even
when the supervisor is killed with SIGKILL (on Linux). Call `run` from the main thread.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from types import FrameType
from typing import Protocol

import structlog

from engine.errors import ForbearError
from service.spawn import spawn

_POLL_S = 0.05
_FIRST_DELAY_S = 0.2
_MAX_DEATHS = 5  # of one child within _DEATHS_WINDOW_S; after delays of 0.2, 0.4, 0.8 and 1.6 s
_DEATHS_WINDOW_S = 60.0

_log = structlog.get_logger()


class Running(Protocol):
    """A started child: `subprocess.Popen` is one, `embedded.Server` is another."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def poll(self) -> int | None:
        """None while it runs, else its exit code."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running. `start` returns when the next stage may start."""

    name: str
    start: Callable[[], Running]
    stage: int
    grace_s: float = 30.0  # between the request to end and SIGKILL


def command(
    argv: Sequence[str], *, pass_fds: Sequence[int] = (), env: Mapping[str, str] | None = None
) -> Callable[[], Running]:
    """Make the `start` of a child that is a command line.

    `pass_fds` (a shared listening socket, say) stay open under the same numbers, over restarts
    too; `env` is added to this process's environment.
    """
    return lambda: spawn(argv, pass_fds=pass_fds, env={**os.environ, **(env or {})})


def already_running(first: Running, again: Callable[[], Running]) -> Callable[[], Running]:
    """Make the `start` of a child that the caller has started, because he needed its address."""
    handles = iter([first])
    return lambda: next(handles, None) or again()


def run(children: Sequence[Child]) -> int:
    """Start the children and keep them running until a signal asks for the end; the exit code.

    0 when a signal ended it; 1, with one sentence on standard error, when a child could not be
    started or died too often. No child is left running either way.
    """
    watched = [_Watched(child) for child in sorted(children, key=_stage)]
    with _stop_requests() as requests:
        try:
            _start_all(watched, requests)
            trouble = _watch(watched, requests)
        except (ForbearError, OSError) as error:
            trouble = str(error)
        finally:
            _end_all(watched)
    if trouble is None:
        return 0
    sys.stderr.write(f"forbear: {trouble}\n")
    return 1


@dataclass(slots=True)
class _Watched:
    """A child with its present process, if any, and its recent deaths (monotonic seconds)."""

    child: Child
    running: Running | None = None
    restart_at: float = 0.0
    deaths: deque[float] = field(default_factory=deque)

    def start(self) -> None:
        self.running = self.child.start()
        _log.info("started", child=self.child.name, pid=self.running.pid)


def _stage(child: Child) -> int:
    return child.stage


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect the signals that ask for the end; the list is empty until one arrives."""
    requests: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        requests.append(number)

    # nohup sets SIGHUP to be ignored, and means it.
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    numbers = (signal.SIGTERM, signal.SIGINT, *hangup)
    before = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start_all(watched: Sequence[_Watched], requests: Sequence[int]) -> None:
    for one in watched:
        if not requests:
            one.start()


def _watch(watched: Sequence[_Watched], requests: Sequence[int]) -> str | None:
    """Restart what dies until the end is asked for (None) or something dies too often (why)."""
    while not requests:
        for one in watched:
            trouble = _tend(one)
            if trouble is not None:
                return trouble
        time.sleep(_POLL_S)
    return None


def _tend(one: _Watched) -> str | None:
    """Notice a death or carry out a restart that is due; a sentence if it has to end here."""
    if one.running is not None:
        code = one.running.poll()
        return None if code is None else _mourn(one, f"exit code {code}")
    if time.monotonic() < one.restart_at:
        return None
    try:
        one.start()
    except (ForbearError, OSError) as error:
        return _mourn(one, str(error))
    return None


def _mourn(one: _Watched, reason: str) -> str | None:
    """Record a death: set the time of the restart, or return why there will be none."""
    now = time.monotonic()
    one.running = None
    one.deaths.append(now)
    while one.deaths[0] < now - _DEATHS_WINDOW_S:
        one.deaths.popleft()
    count = len(one.deaths)
    if count >= _MAX_DEATHS:
        return (
            f"{one.child.name} ended {count} times within {_DEATHS_WINDOW_S:.0f} seconds (the last "
            f"time: {reason}), so everything was ended: mend the cause, which its own messages "
            "above should name, and start again"
        )
    delay = _FIRST_DELAY_S * 2.0 ** (count - 1)
    one.restart_at = now + delay
    _log.warning("ended", child=one.child.name, reason=reason, restart_in_s=delay)
    return None


def _end_all(watched: Sequence[_Watched]) -> None:
    """End the stages from the highest to the lowest, each after the one above has ended."""
    last_first = sorted(watched, key=lambda one: one.child.stage, reverse=True)
    for _, stage in groupby(last_first, key=lambda one: one.child.stage):
        _end_stage([(one.child, one.running) for one in stage if one.running is not None])


def _end_stage(running: Sequence[tuple[Child, Running]]) -> None:
    since = time.monotonic()
    for _, process in running:
        process.terminate()
    for child, process in running:
        while process.poll() is None and time.monotonic() < since + child.grace_s:
            time.sleep(_POLL_S)
        if process.poll() is None:
            _log.warning("killed", child=child.name, grace_s=child.grace_s)
            process.kill()
        while process.poll() is None:
            time.sleep(_POLL_S)
