"""Round trips: what is written in a configuration is what a worker decides with."""

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Message, parse_message
from service.assembly import assemble, terms
from service.configuration.changing import Author, put_document
from service.configuration.checking import check
from service.configuration.command import check_file
from service.live import Live
from service.settings import Settings, load_settings
from service.store.memory import MemoryStore
from service.terms import Terms

words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12)
"""Words such as no, 010 or ~ among them: quoted, they are texts."""
traps = st.sampled_from(["no", "on", "~", "null", "1_000", "21:00", "010", "1e3", "", "<<", "*a"])
values = st.one_of(words, traps, st.booleans(), st.integers(-999, 999), st.floats(-1e6, 1e6))
caps = st.builds(lambda n, days: f"{n}/{days}d", st.integers(1, 100), st.integers(1, 31))

rules = st.fixed_dictionaries(
    {},
    optional={
        "paused": st.booleans(),
        "min_gap_s": st.integers(0, 31 * 86_400),
        "caps": st.lists(caps, max_size=3),
        "tag_caps": st.dictionaries(st.sampled_from(["offer", "news"]), caps, max_size=2),
        "days": st.lists(st.sampled_from(["mon", "wed", "sun"]), unique=True),
        "quiet_hours": st.sampled_from(["21:00-08:00", "12:30-13:00"]),
        "time_zone": st.sampled_from(["Europe/Berlin", "Asia/Kolkata"]),
    },
)
prices = st.fixed_dictionaries(
    {},
    optional={
        "value": st.floats(0, 1e9),
        "unsubscribe_cost": st.integers(0, 99),
        "send_cost": st.floats(0, 1),
        "patience": st.sampled_from(["learned", "constant"]),
        "rho": st.floats(0, 1),
        "pessimism": st.floats(0, 5),
    },
)
arms = st.fixed_dictionaries(
    {},
    optional={
        "shares": st.dictionaries(
            st.sampled_from(["holdout", "random", "business_as_usual"]), st.floats(0, 0.33)
        ),
        "shadow": st.booleans(),
    },
)
messages = st.dictionaries(
    st.one_of(words, traps.filter(bool)).filter(lambda word: word != "abstain"),
    st.fixed_dictionaries(
        {},
        optional={
            "attributes": st.dictionaries(words, values, max_size=3),
            "tags": st.lists(st.sampled_from(["offer", "news"]), unique=True),
            "send_cost": st.floats(0, 9),
            "paused": st.booleans(),
            "starts": st.just("2026-03-01T00:00:00+01:00"),
            "ends": st.just("2026-04-01T00:00:00Z"),
            "cooldown_s": st.integers(0, 86_400),
            "when": st.dictionaries(
                words, st.one_of(values, st.just({"min": 1, "max": 2.5})), max_size=3
            ),
        },
    ),
    max_size=4,
)
documents: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"messages": messages}, optional={"rules": rules, "prices": prices, "arms": arms}
)


def written(document: Mapping[str, Any]) -> str:
    """The document as a person would write it: two levels of lines, the rest within a line."""
    return "\n".join(_lines(document, 0))


def _lines(tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    for key, value in tree.items():
        name = "  " * depth + json.dumps(key, ensure_ascii=False)
        if depth < 2 and isinstance(value, dict) and value:
            yield f"{name}:"
            yield from _lines(value, depth + 1)
        else:
            yield f"{name}: {json.dumps(value, ensure_ascii=False)}"


def as_environment(document: Mapping[str, Any]) -> Settings:
    """The same, said by the environment's variables, where lists are words with blanks."""
    said: dict[str, Any] = {**document.get("rules", {}), **document.get("prices", {})}
    for name in ("caps", "days"):
        said[name] = " ".join(said.get(name, []))
    said["tag_caps"] = _pairs(said.get("tag_caps", {}))
    arms = document.get("arms", {})
    said |= {"arms": _pairs(arms.get("shares", {})), "shadow": arms.get("shadow", False)}
    return Settings(**said)


def _pairs(named: Mapping[str, object]) -> str:
    return " ".join(f"{name}:{value}" for name, value in named.items())


def told(said: Terms) -> tuple[object, ...]:
    """What terms say; two policies are never equal, their parts are."""
    policy = said.policy
    return (
        said.rules,
        said.value,
        said.experiment,
        (policy.rho, policy.pessimism, policy.send_cost, type(policy.patience)),
    )


async def in_force(text: str) -> Live:
    store = MemoryStore(half_life_s=86_400.0, tombstone_secret=b"test")
    held = assemble(load_settings(), store)
    await put_document(store, check(text.encode(), "f.yaml"), Author("k", 0.0))
    await held.live.refresh()
    return held.live


@settings(max_examples=150, deadline=None)
@given(document=documents)
def test_what_is_configured_is_what_is_decided_with(document: dict[str, Any]) -> None:
    live = asyncio.run(in_force(written(document)))
    expected: dict[str, Message] = {
        name: parse_message(name, json.dumps(fields).encode())
        for name, fields in document["messages"].items()
    }
    assert expected == live.catalog.messages
    assert told(terms(as_environment(document))) == told(live.terms)


@settings(max_examples=40, deadline=None)
@given(document=documents, data=st.data())
def test_a_file_is_in_order_until_a_key_is_misspelt(
    document: dict[str, Any], data: st.DataObject
) -> None:
    """The key that is misspelt is one of a section, at a place of its own choosing."""
    document = {"rules": {"paused": False}} | document
    document["rules"] = {"paused": False} | document["rules"]
    lines = written(document).split("\n")
    keys = [n for n, line in enumerate(lines) if line.startswith('  "') and _in_rules(lines, n)]
    place = data.draw(st.sampled_from(keys))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.yaml"
        path.write_text("\n".join(lines))
        assert 0 == check_file(path)
        lines[place] = lines[place].replace('"', '"x', 1)
        path.write_text("\n".join(lines))
        assert 1 == check_file(path)


def _in_rules(lines: list[str], place: int) -> bool:
    """Whether a line stands under `rules`."""
    sections = [line for line in lines[:place] if not line.startswith(" ")]
    return sections[-1] == '"rules":'
