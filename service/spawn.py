"""Child processes that never outlive the process that started them.

A child gets its own process group, so that Ctrl-C in a terminal reaches only the supervisor and
the shutdown order is the supervisor's; no standard input; and on Linux a death signal: the kernel
delivers it when the parent ends, however it ends.

Assumes that the caller is the main thread: Linux sends the death signal when the *thread* that
started the child ends. Limit: other systems have no such signal; there a child survives a parent
killed with SIGKILL.

The death signal is set by running this file as a small launcher that then becomes the child:
`preexec_fn` would run Python between fork and exec, which is unsafe beside other threads.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_CANNOT_RUN = 127  # as a shell says it


def spawn(
    argv: Sequence[str | Path],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv`; `death_signal` is sent to it when this process ends before it.

    `pass_fds` stay open in the child under the same numbers; `env` replaces the environment.
    Raises OSError if the program cannot be started (on Linux the launcher reports that instead,
    with exit code 127).
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn() belongs to the main thread: the child dies with its thread")
    command = [str(argument) for argument in argv]
    if sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal))]
        command = launcher + command
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, pass_fds=pass_fds, env=env, process_group=0
    )


def _become_child(parent: int, death_signal: int, argv: list[str]) -> None:
    """Ask the kernel for the death signal, then turn into `argv`."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # the parent ended before the request was in place
        os.kill(os.getpid(), death_signal)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"forbear: cannot run {argv[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_RUN)


if __name__ == "__main__":
    _become_child(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
