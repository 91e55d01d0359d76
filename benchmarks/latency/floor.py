"""The service with a floor beside each deciding route: the same stack, nothing scored.

A floor authorizes, decodes and validates the same body, reads the users, and commits as many rows
of the same size as the real route would; the decisions themselves were made before the clock
started. What a real route takes beyond its floor is the price of deciding.
"""

import secrets
import socket
import sys
from dataclasses import replace

import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI, Request
from starlette.responses import Response

from benchmarks.latency.workload import learned
from engine.decision import Request as Asked
from engine.decision import UserState
from engine.decision_log import to_row
from engine.errors import StoreError
from engine.outcome import Windows, slices
from engine.policy import Policy, decide
from service import logs
from service.answers import answer_body
from service.app import create_app
from service.assembly import assemble, open_store
from service.auth import Scope
from service.deciding import Ask
from service.reading import batch_decoder, decision_decoder, read, read_ask
from service.services import Services, authorize, json_body, services
from service.settings import Settings, load_settings
from service.store.keys import shard_of
from service.store.protocol import Commit, Committed, Replayed, StoredUser, UserRead


def typical_send() -> Commit:
    """A send as the real route would commit it; user, time and id are filled in by request."""
    workload = learned()
    always = replace(workload.model, policy=Policy(floor=1.0, floor_harm=1e9))
    asked = Asked("user-1", workload.contexts[0], tuple(always.catalog.messages))
    rng = np.random.default_rng(0)
    (drawn,) = decide(always, [asked], [UserState()], ["00-" + "0" * 20], now=0.0, rng=rng)
    delays = always.snapshot.delays
    due = slices(0.0, "click", delays.click, Windows())
    due += slices(0.0, "unsubscribe", delays.unsubscribe, Windows())
    return Commit(
        user_id="",
        expected_version=0,
        now=0.0,
        decision_id="",
        action=drawn.decision.action,
        row=to_row(drawn.decision),
        answer=answer_body(drawn.decision),
        burden_after=1.0,
        hazard=0.002,
        teaching=drawn.teaching,
        slices=tuple(sorted(due, key=lambda one: one.due)),
        confirm_by=None,
        gain_event="click",
    )


def add_floors(app: FastAPI, typical: Commit) -> None:
    """The two floors."""

    @app.post("/floor")
    async def floor(request: Request) -> Response:
        caller = await authorize(request, Scope.DECIDE)
        held = services(request)
        asked = read(await json_body(request), decision_decoder)
        ask = read_ask(asked, caller, held.clock)
        (body,) = await _store(held, [ask], typical)
        return Response(body, 200, media_type="application/json")

    @app.post("/floor/batch")
    async def floor_batch(request: Request) -> Response:
        caller = await authorize(request, Scope.DECIDE)
        held = services(request)
        batch = read(await json_body(request), batch_decoder)
        asks = [
            read_ask(read(item, decision_decoder), caller, held.clock) for item in batch.decisions
        ]
        bodies = await _store(held, asks, typical)
        return Response(b'{"decisions":[%s]}' % b",".join(bodies), media_type="application/json")


async def _store(held: Services, asks: list[Ask], typical: Commit) -> list[bytes]:
    model = held.live.model
    if model is None:
        raise StoreError("no model has been loaded yet: ask again")
    typical = replace(typical, now=held.clock.now(), catalog_version=model.catalog.version)
    users = await held.store.read_users([UserRead(ask.user_id) for ask in asks])
    results = await held.store.commit(
        [_commit(ask, user, typical) for ask, user in zip(asks, users, strict=True)]
    )
    if not all(isinstance(result, Committed) for result in results):
        raise StoreError("a floor's commit was refused: a refusal costs less than what it is to be")
    return [typical.answer] * len(asks)


def _commit(ask: Ask, user: StoredUser | Replayed, typical: Commit) -> Commit:
    return replace(
        typical,
        user_id=ask.user_id,
        expected_version=user.version if isinstance(user, StoredUser) else 0,
        decision_id=f"{shard_of(ask.user_id):02d}-{secrets.token_hex(10)}",
        slices=tuple(replace(one, due=typical.now + one.due) for one in typical.slices),
    )


async def serve(settings: Settings, listening: socket.socket) -> None:
    """One worker with the real routes and their floors."""
    app = create_app(assemble(settings, await open_store(settings)))
    add_floors(app, typical_send())
    config = uvicorn.Config(
        app, http="httptools", ws="none", log_config=None, access_log=False, server_header=False
    )
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    known = load_settings()
    logs.configure(known.log_level)
    uvloop.run(serve(known, socket.socket(fileno=int(sys.argv[1]))))
