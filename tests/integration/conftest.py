"""What the tests with real processes share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_tmp(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A temporary directory for sockets, removed afterwards; pytest's own paths are too long.

    A server that is killed leaves its runtime directory to the next start, which never comes here.
    """
    tmp_path_factory.getbasetemp()  # pytest makes its own before TMPDIR moves
    with tempfile.TemporaryDirectory(prefix="fb-") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)
