"""From questions to durable answers: read, decide, commit, and only then answer.

The commit compares the user's state with what was read, for every action, and the version of the
catalog with the one in force; when somebody else was quicker, the fresh state is scored and drawn
anew with the fresh catalog, up to `TRIES` times, then the answer is a recorded abstention with
reason `contention`. When the store or the model is out of reach, the
answer is the unrecorded abstention `fallback`, in time.

A commit that was cut off may have happened although its sender is told `fallback`; see `disowning`.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.random import Generator

from engine.arms import Arm
from engine.catalog import DEFAULT_CHANNEL
from engine.decision import Context, Decision, Reason, Request, UserState
from engine.decision_log import contention, to_row
from engine.eligibility import Asking, eligible
from engine.errors import StoreError
from engine.explanation import removals
from engine.outcome import Slice, slices
from engine.policy import Drawn, Model, decide
from engine.rationing import Rations
from engine.rules import with_tolerance
from service.answers import answer_body, fallback_body
from service.clock import Clock
from service.disowning import Disowned
from service.live import Live
from service.problems import Kind, Problem
from service.rationing import Lack, Rationing
from service.store.keys import shard_of
from service.store.protocol import (
    Commit,
    Committed,
    Conflict,
    Idempotency,
    Replayed,
    Store,
    StoredUser,
    UserRead,
)
from service.sweeping import Sweeper
from service.terms import Terms

TRIES = 3
MORE_TIME_EVERY = 100
"""A batch gets its timeout once more for each so many questions."""
MOST_AHEAD_S = 5.0
"""How far the clock of another worker may be ahead for its grants to be used here at once."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One validated question."""

    user_id: str
    context: Context
    value: float | None = None
    messages: tuple[str, ...] | None = None
    deferred: bool = False
    at: float | None = None
    zone: ZoneInfo | None = None
    """The user's time zone, where the request names one."""
    idempotency: Idempotency | None = None
    arm: Arm | None = None
    """Supposed; None: the one the user is in."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender gets."""

    body: bytes
    reason: Reason
    model_version: int | None
    arm: Arm
    removals: Mapping[Reason, int] = field(default_factory=dict)
    """How many messages each rule kept back; a rule that keeps back all of them counts once."""
    replayed: bool = False
    problem: Problem | None = None


class Decider:
    """Answers questions; never raises for a store that is away."""

    def __init__(
        self,
        store: Store,
        live: Live,
        clock: Clock,
        sweeper: Sweeper,
        rationing: Rationing,
        rng: Generator | None = None,
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._sweeper = sweeper
        self._rationing = rationing
        self._rng = rng or np.random.default_rng()
        self.disowned = Disowned(store)

    @property
    def _terms(self) -> Terms:
        """As they are in force now; they may change between two questions."""
        return self._live.terms

    async def decide(self, asks: Sequence[Ask]) -> list[Answer]:
        """An answer for each question, in order; the same user twice is decided in order."""
        latest = max((ask.at for ask in asks if ask.at is not None), default=None)
        now = self._clock.arrival(latest)
        answers: dict[int, Answer] = {}
        try:
            if self._clock.simulated:
                await self._catch_up(now)
            async with asyncio.timeout(self._terms.timeout * (1 + len(asks) // MORE_TIME_EVERY)):
                if self.disowned:
                    await self.disowned.take_back(now)
                for wave in _waves(asks):
                    await self._decide_wave(asks, wave, now, answers)
        except (StoreError, TimeoutError):
            pass
        return [answers.get(i) or self._fallback(ask, now) for i, ask in enumerate(asks)]

    def _fallback(self, ask: Ask, now: float) -> Answer:
        arm = self._terms.experiment.arm_of(ask.user_id)
        return Answer(fallback_body(ask.user_id, now, arm), Reason.FALLBACK, None, arm)

    def suppose(self, ask: Ask, user: StoredUser, now: float) -> Decision:
        """The decision that `decide` would draw, were this asked now of a user in this state.

        Nothing is stored, counted, reserved or remembered, and the draws to come stay as they are.
        """
        model = self._model()
        short = self._rationing.spent_up(model.rations)
        requests = [_request(ask, user, model, self._terms, now, short)]
        rng = np.random.default_rng(0)
        (drawn,) = decide(model, requests, [_state(user)], [""], now=now, rng=rng, supposed=True)
        return drawn.decision

    async def _catch_up(self, now: float) -> None:
        """What a jump of simulated time left to do: for days of it, more than a decision's time."""
        await self.disowned.take_back_all(now)  # before they are taught
        if self._sweeper.needed(now):
            await self._sweeper.sweep(now)
        if self._rationing.due(now):
            await self._rationing.refresh(now)

    async def _decide_wave(
        self, asks: Sequence[Ask], wave: Sequence[int], now: float, answers: dict[int, Answer]
    ) -> None:
        """Decide questions of distinct users; fills in `answers`."""
        reads = await self._store.read_users(
            [UserRead(asks[i].user_id, asks[i].idempotency) for i in wave],
            tuple(self._model().rations.budgets),
        )
        users: dict[int, StoredUser] = {}
        for i, read in zip(wave, reads, strict=True):
            if isinstance(read, Replayed):
                answers[i] = _replay(asks[i], read)
            else:
                users[i] = read
        for _ in range(TRIES):
            if not users:
                return
            users = await self._attempt(asks, users, self._model(), now, answers)
            if users and self._model().rations.budgets:
                users = await self._read_again(asks, list(users))
        await self._give_up(asks, users, now, answers)

    def _model(self) -> Model:
        model = self._live.model
        if model is None:
            raise StoreError("no model has been loaded yet; wait until /readyz says so")
        return model

    async def _attempt(
        self,
        asks: Sequence[Ask],
        users: dict[int, StoredUser],
        model: Model,
        now: float,
        answers: dict[int, Answer],
    ) -> dict[int, StoredUser]:
        """Score, draw and commit; returns the users whose state had changed, with the new one."""
        places = list(users)
        now = _after_grants(users.values(), now)
        requests = [_request(asks[i], users[i], model, self._terms, now) for i in places]
        if await self._rationing.fetch(model.rations, _lacking(model.rations, requests), now):
            users = await self._read_again(asks, places)
            now = _after_grants(users.values(), now)
            requests = [_request(asks[i], users[i], model, self._terms, now) for i in places]
        drawn = decide(
            model,
            requests,
            [_state(users[i]) for i in places],
            [f"{shard_of(asks[i].user_id):02d}-{secrets.token_hex(10)}" for i in places],
            now=now,
            rng=self._rng,
        )
        commits = [
            self._commit(asks[i], users[i], one, model, now)
            for i, one in zip(places, drawn, strict=True)
        ]
        changed: dict[int, StoredUser] = {}
        results = await self._committed(commits)
        for i, one, commit, result in zip(places, drawn, commits, results, strict=True):
            if isinstance(result, Conflict):
                changed[i] = result.user
            elif isinstance(result, Replayed):
                answers[i] = _replay(asks[i], result)
            else:
                answers[i] = _answer(commit, one.decision)
                if model.rations.budgets:
                    self._rationing.note(model.rations, one.decision, commit.charges)
        if any(isinstance(result, Conflict) and result.outdated for result in results):
            await self._live.refresh()
        return changed

    async def _read_again(
        self, asks: Sequence[Ask], places: Sequence[int]
    ) -> dict[int, StoredUser]:
        """The users' states of now, with what their shards hold of budgets."""
        reads = [UserRead(asks[i].user_id) for i in places]
        states = await self._store.read_users(reads, tuple(self._model().rations.budgets))
        return {
            i: state
            for i, state in zip(places, states, strict=True)
            if isinstance(state, StoredUser)
        }

    async def _committed(self, commits: Sequence[Commit]) -> list[Committed | Conflict | Replayed]:
        try:
            return await self._store.commit(commits)
        except (StoreError, asyncio.CancelledError):
            self.disowned.add(commits)
            raise

    async def _give_up(
        self,
        asks: Sequence[Ask],
        users: dict[int, StoredUser],
        now: float,
        answers: dict[int, Answer],
    ) -> None:
        """Record the decisions whose user's state would not hold still."""
        for i in users:
            ask = asks[i]
            decision = contention(
                f"{shard_of(ask.user_id):02d}-{secrets.token_hex(10)}",
                ask.user_id,
                ask.context,
                self._terms.value if ask.value is None else ask.value,
                now,
                self._terms.experiment.arm_of(ask.user_id),
            )
            commit = self._plain_commit(ask, decision, now)
            (result,) = await self._committed([commit])
            if isinstance(result, Replayed):
                answers[i] = _replay(ask, result)
            else:
                answers[i] = _answer(commit, decision)

    def _plain_commit(self, ask: Ask, decision: Decision, now: float) -> Commit:
        return Commit(
            user_id=ask.user_id,
            expected_version=0,
            now=now,
            decision_id=decision.decision_id,
            action=None,
            row=to_row(decision),
            answer=answer_body(decision),
            burden_after=None,
            hazard=0.0,
            teaching=b"",
            slices=(),
            confirm_by=None,
            gain_event="click",
            idempotency=ask.idempotency,
            censored=True,
        )

    def _commit(self, ask: Ask, user: StoredUser, drawn: Drawn, model: Model, now: float) -> Commit:
        decision, windows = drawn.decision, self._terms.windows
        chosen = decision.chosen
        message = model.catalog.messages.get(decision.action or "")
        due: tuple[Slice, ...] = ()
        if drawn.teaching:
            due = slices(now, "click", model.snapshot.delays.click, windows)
        if chosen is not None:
            due += slices(now, "unsubscribe", model.snapshot.delays.unsubscribe, windows)
        return Commit(
            user_id=ask.user_id,
            expected_version=user.version,
            now=now,
            decision_id=decision.decision_id,
            action=decision.action,
            tags=() if message is None else message.tags,
            channel=DEFAULT_CHANNEL if message is None else message.channel,
            row=to_row(decision),
            answer=answer_body(decision),
            burden_after=None if chosen is None else decision.burden + 1.0,
            hazard=0.0 if chosen is None else float(decision.forecasts.p_unsubscribe[chosen]),
            teaching=drawn.teaching,
            slices=tuple(sorted(due, key=lambda one: one.due)),
            confirm_by=now + self._terms.confirm_window
            if ask.deferred and chosen is not None
            else None,
            gain_event="conversion" if model.policy.unprompted else "click",
            value=decision.value,
            idempotency=ask.idempotency,
            catalog_version=model.catalog.version,
            charges=model.rations.charges(decision.candidates, decision.action)
            if model.rations.budgets
            else (),
        )


def _after_grants(users: Iterable[StoredUser], now: float) -> float:
    """A time that the users' allowances cover.

    A grant holds from its own time on, and another question, perhaps of a worker whose clock is
    ahead, may have fetched it after this one had arrived.
    """
    grants = [held.since for user in users for held in user.allowances.values()]
    return max([now, *(since for since in grants if since <= now + MOST_AHEAD_S)])


def _waves(asks: Sequence[Ask]) -> list[list[int]]:
    """Places of questions, so that no wave asks about a user twice and order is kept."""
    waves: list[list[int]] = []
    turns: dict[str, int] = {}
    for place, ask in enumerate(asks):
        turn = turns.get(ask.user_id, 0)
        turns[ask.user_id] = turn + 1
        if turn == len(waves):
            waves.append([])
        waves[turn].append(place)
    return waves


def _request(
    ask: Ask,
    user: StoredUser,
    model: Model,
    terms: Terms,
    now: float,
    short: frozenset[str] | None = None,
) -> Request:
    if short is None:
        short = model.rations.short(user.allowances, now)
    arm = ask.arm or terms.experiment.arm_of(ask.user_id)
    context = with_tolerance(ask.context, user.tolerance)
    asking = Asking(now, context, ask.zone, user.history, user.consent, user.tolerance, arm, short)
    allowed = eligible(model.catalog, ask.messages, terms.rules, asking)
    return Request(
        user_id=ask.user_id,
        context=context,
        candidates=allowed.candidates,
        blocked=allowed.blocked,
        barred=allowed.barred,
        value=terms.value if ask.value is None else ask.value,
        free_at=allowed.free_at,
        time_zone=(ask.zone or terms.rules.zone).key,
        arm=arm,
    )


def _lacking(rations: Rations, requests: Sequence[Request]) -> dict[int, dict[str, Lack]]:
    """Shard -> budget -> the units that these requests lack."""
    lacking: dict[int, dict[str, Lack]] = {}
    for request in requests if rations.budgets else ():
        for name, units in rations.lacking(request.blocked).items():
            of_shard = lacking.setdefault(shard_of(request.user_id), {})
            of_shard[name] = of_shard.get(name, Lack()).and_of(units)
    return lacking


def _state(user: StoredUser) -> UserState:
    return UserState(
        user.burden, user.burden_at, user.last_send_at, user.first_seen_at, user.mean_value
    )


def _answer(commit: Commit, decision: Decision) -> Answer:
    return Answer(
        commit.answer,
        decision.reason,
        decision.model_version,
        decision.arm,
        removals(decision),
    )


class _Repeated(msgspec.Struct):
    reason: Reason
    model_version: int | None
    arm: Arm


def _replay(ask: Ask, earlier: Replayed) -> Answer:
    """The first answer again, unless the key now comes with another question."""
    told = msgspec.json.decode(earlier.answer, type=_Repeated)
    if ask.idempotency is None or ask.idempotency.fingerprint != earlier.fingerprint:
        problem = Problem(
            Kind.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key was used before with another request; "
            "send the same request with it, or choose a new key.",
        )
        return Answer(b"", Reason.FALLBACK, None, told.arm, problem=problem)
    return Answer(earlier.answer, told.reason, told.model_version, told.arm, replayed=True)
