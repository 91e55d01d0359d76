"""Consent by channel, and how often a user wants to be messaged: both hold at the commit."""

from dataclasses import replace

import pytest

from engine.consent import EVERYWHERE, NOWHERE, Consent
from engine.rules import Cap
from service.store.keys import shard_of
from service.store.protocol import (
    Committed,
    Conflict,
    Event,
    EventStatus,
    Store,
    StoredUser,
)
from tests.conformance.facts import DAY, HOUR, NOW, abstention, event, lessons, look, send

PUSH_LEFT = Consent(everywhere=True, exceptions=frozenset({"push"}))
EMAIL_LEFT = Consent(everywhere=True, exceptions=frozenset({"email"}))


def about(
    event_id: str, kind: str, channel: str | None = None, name: str | None = None, at: float = NOW
) -> Event:
    """An event about a channel."""
    return replace(event(event_id, kind, at, name), channel=channel)


async def three_sends(store: Store) -> None:
    """Two on push, one by e-mail, an hour apart."""
    for n, (name, channel) in enumerate([("a", "push"), ("b", "email"), ("c", "push")]):
        at = NOW + n * HOUR
        await store.commit([send(name, now=at, expected_version=n, channel=channel)])


async def test_the_named_decisions_channel_is_left_and_no_other(store: Store) -> None:
    await three_sends(store)
    await store.record_events([about("e1", "unsubscribe", name="a", at=NOW + DAY)])
    user = await store.user("u1")
    assert PUSH_LEFT == user.consent
    refused = send("d", now=NOW + DAY, expected_version=user.version)
    assert [Conflict(user)] == await store.commit([refused])
    assert [Committed()] == await store.commit([replace(refused, channel="email")])


async def test_leaving_a_channel_closes_no_label_of_another(store: Store) -> None:
    """Named is the first push: it left because of that; the second push is nobody's silence."""
    await three_sends(store)
    await store.record_events([about("e1", "unsubscribe", name="a", at=NOW + DAY)])
    await store.sweep(NOW + 9 * DAY)
    labels = [(await look(store, name)).unsubscribe for name in "abc"]
    assert [1.0, 0.0, None] == labels


async def test_an_unnamed_unsubscribe_of_a_channel_is_shared_among_its_sends(store: Store) -> None:
    await three_sends(store)
    await store.record_events([about("e1", "unsubscribe", "push", at=NOW + DAY)])
    await store.sweep(NOW + 9 * DAY)
    labels = [(await look(store, name)).unsubscribe for name in "abc"]
    assert [0.5, 0.0, 0.5] == labels


async def test_leaving_everything_after_a_channel_blames_what_was_left_last(store: Store) -> None:
    await three_sends(store)
    await store.record_events([about("e1", "unsubscribe", "push", at=NOW + DAY)])
    await store.record_events([about("e2", "unsubscribe", at=NOW + DAY)])
    assert NOWHERE == (await store.user("u1")).consent
    assert 1.0 == (await look(store, "b")).unsubscribe
    assert 0.5 == (await look(store, "a")).unsubscribe


async def test_an_unsubscribe_that_names_a_channel_and_a_decision_of_another(store: Store) -> None:
    """The push made him leave e-mail: the push is the cause, the e-mail's label has no value."""
    await three_sends(store)
    await store.record_events([about("e1", "unsubscribe", "email", "a", NOW + DAY)])
    assert EMAIL_LEFT == (await store.user("u1")).consent
    await store.sweep(NOW + 9 * DAY)
    labels = [(await look(store, name)).unsubscribe for name in "abc"]
    assert [1.0, None, 0.0] == labels


async def test_who_left_everything_may_join_one_channel(store: Store) -> None:
    await store.record_events([about("e1", "unsubscribe")])
    await store.record_events([about("e2", "subscribe", "email")])
    consent = (await store.user("u1")).consent
    allowed = [consent.allows(channel) for channel in ("email", "push", "one to come")]
    assert [True, False, False] == allowed
    await store.record_events([about("e3", "unsubscribe", "email")])
    assert NOWHERE == (await store.user("u1")).consent
    await store.record_events([about("e4", "subscribe")])
    assert EVERYWHERE == (await store.user("u1")).consent


async def test_an_abstention_has_no_channel_so_all_are_left(store: Store) -> None:
    await store.commit([abstention("a")])
    await store.record_events([about("e1", "unsubscribe", name="a")])
    assert NOWHERE == (await store.user("u1")).consent


async def test_an_unknown_decision_still_takes_the_user_off_the_channel_given(
    store: Store,
) -> None:
    sent = [about("e1", "unsubscribe", "email", "never")]
    assert [EventStatus.UNKNOWN] == await store.record_events(sent)
    assert EMAIL_LEFT == (await store.user("u1")).consent


async def test_what_changes_no_consent_changes_no_version(store: Store) -> None:
    await store.record_events([about("e1", "unsubscribe", "email")])
    same = [about("e2", "unsubscribe", "email"), about("e3", "subscribe", "push")]
    assert [EventStatus.ACCEPTED] * 2 == await store.record_events(same)
    user = await store.user("u1")
    assert (EMAIL_LEFT, 1) == (user.consent, user.version)


async def test_an_erased_user_stays_off_the_channels_he_had_left(store: Store) -> None:
    await store.record_events([about("e1", "unsubscribe", "email")])
    assert 1 == (await store.erase("u1", NOW))["tombstones_left"]
    assert StoredUser(consent=EMAIL_LEFT) == await store.user("u1")
    by_mail = send("a", channel="email")
    assert [Conflict(StoredUser(consent=EMAIL_LEFT))] == await store.commit([by_mail])
    assert [Committed()] == await store.commit([send("b")])
    await store.record_events([about("e2", "unsubscribe", "push")])
    await store.erase("u1", NOW)
    both = Consent(everywhere=True, exceptions=frozenset({"email", "push"}))
    assert both == (await store.user("u1")).consent


async def test_imported_opt_outs_of_a_channel(store: Store) -> None:
    await three_sends(store)
    assert 2 == await store.import_unsubscribed(["u1", "u2"], NOW + DAY, "email")
    assert 1 == await store.import_unsubscribed(["u1", "u3"], NOW + DAY, "email")
    assert EMAIL_LEFT == (await store.user("u1")).consent
    await store.sweep(NOW + 9 * DAY)
    assert [0.0, None, 0.0] == [(await look(store, name)).unsubscribe for name in "abc"]
    assert all(entry.label == 0 for entry in await lessons(store))


@pytest.mark.parametrize("tolerance", [Cap(2, 7 * DAY), Cap(1, DAY), Cap(3, 5400.0)])
async def test_a_tolerance_is_kept_and_raises_the_version(store: Store, tolerance: Cap) -> None:
    """So whoever had read the user before it is turned away at the commit."""
    said = replace(event("e1", "tolerance", NOW), tolerance=tolerance)
    assert [EventStatus.ACCEPTED] == await store.record_events([said])
    user = await store.user("u1")
    assert (tolerance, 1) == (user.tolerance, user.version)
    assert [Conflict(user)] == await store.commit([send("a")])
    await store.record_events([event("e2", "tolerance", NOW + 1)])
    user = await store.user("u1")
    assert (None, 2) == (user.tolerance, user.version)


async def test_the_log_says_what_was_left_and_what_was_wished(store: Store) -> None:
    await three_sends(store)
    wish = replace(event("e2", "tolerance", NOW), tolerance=Cap(2, 7 * DAY))
    await store.record_events([about("e1", "unsubscribe", name="b"), wish])
    entries = await store.read_log(shard_of("u1"), "0-0", 100)
    said = [(e.type, e.channel, e.tolerance) for e in entries if e.kind == "event"]
    assert [("unsubscribe", "email", ""), ("tolerance", "", "2/7d")] == said
