"""Who may do what."""

import re

import httpx
import pytest

from engine.errors import BadInput
from service.auth import (
    KeyRing,
    Scope,
    configured_keys,
    create_key,
    ensure_first_key,
    key_id,
    new_key,
)
from service.problems import Kind, Refused
from tests.unit.service.harness import Worker, new_store, settings, worker

NEEDED = [
    ("POST", "/v1/decisions", Scope.DECIDE),
    ("POST", "/v1/decisions/batch", Scope.DECIDE),
    ("POST", "/v1/decisions/explain", Scope.READ),
    ("POST", "/v1/events", Scope.FEEDBACK),
    ("GET", "/v1/decisions/07-x", Scope.READ),
    ("GET", "/v1/messages", Scope.READ),
    ("GET", "/v1/messages/sale", Scope.READ),
    ("PUT", "/v1/messages/sale", Scope.ADMIN),
    ("DELETE", "/v1/messages/sale", Scope.ADMIN),
    ("GET", "/v1/configuration", Scope.READ),
    ("PUT", "/v1/configuration", Scope.ADMIN),
    ("GET", "/v1/audit", Scope.ADMIN),
    ("GET", "/v1/pause", Scope.READ),
    ("PUT", "/v1/pause", Scope.ADMIN),
    ("DELETE", "/v1/pause", Scope.ADMIN),
    ("GET", "/v1/users/u", Scope.READ),
    ("DELETE", "/v1/users/u", Scope.ADMIN),
    ("GET", "/v1/users/u/export", Scope.READ),
    ("GET", "/v1/model", Scope.READ),
]
OPEN = ["/livez", "/readyz", "/metrics", "/docs", "/openapi.json"]


async def ask(worker: Worker, method: str, address: str, key: dict[str, str]) -> httpx.Response:
    body: dict[str, str] | None = {} if method in {"POST", "PUT"} else None
    return await worker.client.request(method, address, json=body, headers=key)


@pytest.mark.parametrize(("method", "address", "scope"), NEEDED)
async def test_a_key_with_just_the_scope_passes_and_one_without_it_does_not(
    running: Worker, method: str, address: str, scope: Scope
) -> None:
    enough = await ask(running, method, address, await running.key(scope))
    others = await running.key(*(other for other in Scope if other is not scope))
    lacking = await ask(running, method, address, others)
    assert enough.status_code not in {401, 403}
    assert 403 == lacking.status_code
    assert f"lacks the scope {scope.value!r}" in lacking.json()["detail"]


@pytest.mark.parametrize(("method", "address"), [route[:2] for route in NEEDED])
async def test_no_route_answers_without_a_key(running: Worker, method: str, address: str) -> None:
    response = await ask(running, method, address, {"Authorization": ""})
    assert 401 == response.status_code
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_every_route_is_in_one_of_the_two_lists(running: Worker) -> None:
    schema = running.app.openapi()["paths"]
    declared = {(method.upper(), path) for path, item in schema.items() for method in item}
    patterns = [
        (method, re.sub(r"/(07-x|u|sale)(?=$|/)", "/{}", address)) for method, address, _ in NEEDED
    ] + [("GET", address) for address in OPEN]
    assert {(method, re.sub(r"\{.*\}", "{}", path)) for method, path in declared} <= set(patterns)


@pytest.mark.parametrize("address", OPEN)
async def test_health_metrics_and_documentation_need_no_key(running: Worker, address: str) -> None:
    assert 200 == (await ask(running, "GET", address, {"Authorization": ""})).status_code


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer fb_", "Bearer fb_1", "Bearer fb__", "Basic x"],
)
async def test_what_is_no_key_is_refused(running: Worker, given: str) -> None:
    response = await ask(running, "GET", "/v1/model", {"Authorization": given})
    assert 401 == response.status_code


async def test_an_unknown_key_and_a_wrong_secret_are_told_apart_by_nobody(
    running: Worker,
) -> None:
    right = (await running.key(Scope.READ))["Authorization"]
    wrong = await ask(running, "GET", "/v1/model", {"Authorization": right[:-1] + "~"})
    unknown = await ask(running, "GET", "/v1/model", {"Authorization": f"Bearer {new_key()}"})
    assert (401, 401) == (wrong.status_code, unknown.status_code)
    assert wrong.json() == unknown.json()


async def test_two_keys_work_side_by_side(running: Worker) -> None:
    """Rotation: the new key works while the old one still does."""
    old, new = await running.key(Scope.READ), await running.key(Scope.READ)
    statuses = [(await ask(running, "GET", "/v1/model", key)).status_code for key in (old, new)]
    assert [200, 200] == statuses


async def test_a_key_has_256_random_bits_and_an_id_prefix() -> None:
    keys = {new_key() for _ in range(100)}
    assert 100 == len(keys)
    assert all(re.fullmatch(r"fb_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", key) for key in keys)


async def test_the_store_never_sees_a_key() -> None:
    store = new_store()
    key = await create_key(store, [Scope.READ])
    secret = key.split("_", 2)[2].encode()
    ((identity, record),) = (await store.api_keys()).items()
    assert key_id(key) == identity
    assert secret not in record


async def test_the_first_key_is_made_once() -> None:
    store = new_store()
    first, second = await ensure_first_key(store), await ensure_first_key(store)
    assert first is not None
    assert second is None


async def test_keys_once_known_work_while_the_store_is_away(running: Worker) -> None:
    running.store.away = True
    assert 200 == (await running.decide()).status_code


async def test_a_worker_that_never_saw_the_keys_says_so() -> None:
    store = new_store()
    ring = KeyRing(store, {})
    key = await create_key(store, [Scope.READ])
    store.away = True
    with pytest.raises(Refused) as refused:
        await ring.caller(f"Bearer {key}", Scope.READ)
    assert Kind.UNAVAILABLE is refused.value.problem.kind


async def test_a_flood_of_unknown_keys_does_not_reach_the_store() -> None:
    store = new_store()
    ring = KeyRing(store, {})
    await ring.refresh()
    store.away = True  # any visit to the store would now show as a failure of `refresh`
    for _ in range(100):
        with pytest.raises(Refused) as refused:
            await ring.caller(f"Bearer {new_key()}", Scope.READ)
        assert Kind.UNAUTHORIZED is refused.value.problem.kind


async def test_configured_keys_decide_even_if_the_store_was_never_there() -> None:
    store, key = new_store(), new_key()
    ring = KeyRing(store, configured_keys(f"{key}=decide,read {new_key()}"))
    store.away = True
    caller = await ring.caller(f"Bearer {key}", Scope.DECIDE)
    assert key_id(key) == caller.key_id
    with pytest.raises(Refused):
        await ring.caller(f"Bearer {key}", Scope.ADMIN)


async def test_a_configured_key_alone_may_do_everything() -> None:
    key = new_key()
    async with worker(settings(api_keys=key)) as started:
        response = await ask(started, "GET", "/v1/model", {"Authorization": f"Bearer {key}"})
    assert 200 == response.status_code


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hunter2", "not a key"),
        (f"{new_key()}=decide,write", "'decide,write'"),
        (f"{new_key()}=", "gives the scopes ''"),
        ("fb_t_one fb_t_two", "two keys of the id t;"),
    ],
)
def test_a_bad_key_setting_is_one_sentence_without_the_secret(text: str, says: str) -> None:
    with pytest.raises(BadInput) as error:
        configured_keys(text)
    assert says in str(error.value)
    assert text not in str(error.value)


async def test_a_configured_key_shuts_out_the_stored_one_of_its_id() -> None:
    """A first key that was lost, or found by somebody else, needs no visit to the store."""
    store = new_store()
    stored = await create_key(store, Scope)
    fresh = f"fb_{key_id(stored)}_another"
    ring = KeyRing(store, configured_keys(fresh))
    await ring.refresh()
    assert key_id(stored) == (await ring.caller(f"Bearer {fresh}", Scope.ADMIN)).key_id
    with pytest.raises(Refused):
        await ring.caller(f"Bearer {stored}", Scope.READ)
