"""Where the public data sets lie, beside the repository; tests skip and say so when they do not."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[4] / "shared" / "data"


def data(name: str) -> Path:
    """The path of a data file or folder, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the public data set {name} is not beside the repository (../shared/data)")
    return path
