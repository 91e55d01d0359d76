"""The page of the engine's maths names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_invariant_names_tests_that_exist() -> None:
    page = (ROOT / "engine" / "README.md").read_text(encoding="utf-8")
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+|\.\.\.\w+)`", page)
    assert len(named) > 20
    missing = [n for n in named if not re.search(rf"def \w*{n.removeprefix('...')}\(", sources)]
    assert [] == missing
