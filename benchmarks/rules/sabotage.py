"""Copies of the service with one check taken out of the commit: the judge must find each."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

CHECKS = {
    "state": "(u[1] or '0') ~= expected or ",
    "catalog": "outdated or ",
}
"""Name of a check -> its words in commit.lua. That of the budgets is not among them: two questions
that meet in one shard at its last slot are too rare to be waited for.
"""


@contextlib.contextmanager
def without(check: str) -> Iterator[None]:
    """Make the working directory one whose service lacks a check, while the block lasts.

    Child processes started in it with `python -m` import that service.
    """
    with tempfile.TemporaryDirectory(prefix="fb-broken-") as name:
        for package in ("engine", "service"):
            shutil.copytree(ROOT / package, Path(name) / package)
        commit = Path(name) / "service/store/lua/commit.lua"
        sound = commit.read_text()
        if sound.count(CHECKS[check]) != 1:
            raise ValueError(f"commit.lua does not hold {CHECKS[check]!r} once: mend CHECKS")
        commit.write_text(sound.replace(CHECKS[check], ""))
        with contextlib.chdir(name):
            yield
