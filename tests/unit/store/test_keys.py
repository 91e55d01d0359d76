"""Users find the same shard for ever; decision ids carry theirs."""

import hmac
from collections import Counter

import pytest

from service.store.keys import TAGS, idempotency_name, shard_of, shard_of_decision, tombstone


@pytest.mark.parametrize(
    ("user_id", "shard"),
    # printf %s u42 | sha256sum | cut -c 15-16: the eighth byte, of which the last six bits count
    [("u42", 0x31), ("", 0x14), ("\u00fc", 0x24)],
)
def test_a_shard_is_the_first_eight_bytes_of_the_hash_modulo_64(user_id: str, shard: int) -> None:
    assert shard == shard_of(user_id)


def test_users_spread_evenly() -> None:
    """64,000 users on 64 shards: 1,000 each, and 6 standard deviations are 190."""
    counts = Counter(shard_of(f"user-{i}") for i in range(64_000))
    assert set(range(64)) == set(counts)
    assert all(810 < count < 1_190 for count in counts.values())


def test_tags_are_hash_tags_of_two_digits() -> None:
    assert ("{s00}", "{s07}", "{s63}") == (TAGS[0], TAGS[7], TAGS[63])


@pytest.mark.parametrize(
    ("decision_id", "shard"),
    [("07-x", 7), ("63-", None), ("63-a\n", 63), ("64-x", None), ("7-x", None), ("", None),
     ("\u0660\u0667-x", None), (" 07-x", None), ("-1-x", None)],
)  # fmt: skip
def test_a_decision_id_names_its_shard(decision_id: str, shard: int | None) -> None:
    assert shard == shard_of_decision(decision_id)


def test_a_tombstone_is_a_keyed_hash() -> None:
    assert hmac.digest(b"secret", b"u1", "sha256") == tombstone(b"secret", "u1")
    assert tombstone(b"another", "u1") != tombstone(b"secret", "u1")


def test_an_idempotency_name_is_short_and_names_nobody() -> None:
    name = idempotency_name("key/user-17/" + "x" * 500)
    assert 32 == len(name)
    assert b"user-17" not in name
