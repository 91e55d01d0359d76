"""Running a policy in a world: `Run` for a driver that holds the loop, `simulate` for others.

    run = Run(world, seed)
    while (batch := run.next()) is not None:
        events, until = run.apply(policy.act(batch))
        policy.observe(events, until)
    outcome = run.outcome()

Chance comes from `chance.uniforms`, keyed by (seed, user, step, kind): outcomes are comparable
between policies, user by user. The value of a run is the sum of v x click less the send costs; a
click counts when it is decided, at the send, also where the news of it comes after the horizon.
"""

from dataclasses import dataclass

import numpy as np

from engine.errors import BadInput
from engine.worlds.chance import Kind, uniforms
from engine.worlds.world import (
    ABSTAIN_INDEX,
    CLICK,
    UNSUBSCRIBE,
    Batch,
    Bools,
    Delay,
    Events,
    Floats,
    Ints,
    Policy,
    World,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `daily_*` have one entry per day; clicks are counted at their send."""

    value: float
    """Sum of v x click less send costs."""
    expected_value: float
    """The same with each click's probability in its place: equal in the mean, less noisy."""
    clicks: int
    unsubscribes: int
    sends: int
    decisions: int
    daily_value: Floats
    daily_clicks: Ints
    daily_unsubscribes: Ints
    daily_sends: Ints

    @property
    def abstain_share(self) -> float:
        """Share of decisions that sent nothing (a send to somebody who has left is none)."""
        return 1.0 - self.sends / max(1, self.decisions)


class Run:
    """One passage through a world: asks step by step, draws outcomes, delivers the news."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self._step = -1
        self._batch: Batch | None = None
        self._left = np.zeros(world.n_users, dtype=np.bool_)
        self._known_gone = np.zeros(world.n_users, dtype=np.bool_)
        self._burden = np.zeros(world.n_users)
        self._burden_at = np.zeros(world.n_users)
        self._pending = _no_events()
        self._sent_today, self._today = 0, -1
        days = int(np.ceil(world.horizon))
        self._daily = {name: np.zeros(days) for name in ("value", "clicks", "left", "sends")}
        self._expected_value = 0.0
        self._decisions = 0

    def next(self) -> Batch | None:
        """The next step's decisions (perhaps for nobody), or None when the horizon is reached."""
        if self._batch is not None:
            raise BadInput(
                "next() was called twice; give the last batch's actions to apply() first."
            )
        self._step += 1
        if self._step >= len(self.world.times):
            return None
        world, step, at = self.world, self._step, float(self.world.times[self._step])
        users = np.flatnonzero(~self._known_gone)
        asked = uniforms(self.seed, users, step, Kind.PRESENCE) < world.presence[users]
        users = users[asked]
        moments = world.moments(self.seed, users, step)
        self._batch = Batch(
            step=step,
            at=at,
            users=users,
            context=world.context(users, moments),
            burden=self._burden_now(users, at),
            values=world.values[users],
            available=world.available(step),
            moment=moments,
        )
        return self._batch

    def apply(self, actions: Ints) -> tuple[Events, float]:
        """Send, draw what follows, and return the news that arrives before the next step.

        actions: (n,) positions in `world.messages` or ABSTAIN_INDEX, in the order of the batch.
        Returns the events and the time (days) until which they are complete.
        """
        batch = self._taken(actions)
        sending = np.flatnonzero(actions != ABSTAIN_INDEX)
        users, messages = batch.users[sending], actions[sending]
        self._decisions += len(batch.users)
        self._draw_outcomes(batch, sending, users, messages)
        self._burden[users] = batch.burden[sending] + 1.0
        self._burden_at[users] = batch.at
        return self._deliver()

    def outcome(self) -> Outcome:
        """The sums so far."""
        daily = self._daily
        return Outcome(
            value=float(daily["value"].sum()),
            expected_value=self._expected_value,
            clicks=int(daily["clicks"].sum()),
            unsubscribes=int(daily["left"].sum()),
            sends=int(daily["sends"].sum()),
            decisions=self._decisions,
            daily_value=daily["value"].copy(),
            daily_clicks=daily["clicks"].astype(np.int64),
            daily_unsubscribes=daily["left"].astype(np.int64),
            daily_sends=daily["sends"].astype(np.int64),
        )

    def _burden_now(self, users: Ints, at: float) -> Floats:
        age = at - self._burden_at[users]
        decayed: Floats = self._burden[users] * 2.0 ** (-age / self.world.half_life)
        return decayed

    def _taken(self, actions: Ints) -> Batch:
        batch, self._batch = self._batch, None
        if batch is None:
            raise BadInput("apply() was called without a batch; call next() first.")
        if actions.shape != batch.users.shape:
            raise BadInput(
                f"{actions.shape} actions were given for {len(batch.users)} users; give one each."
            )
        sent = actions[actions != ABSTAIN_INDEX]
        if not np.isin(sent, np.flatnonzero(batch.available)).all():
            raise BadInput("an action is no message available at this step; see Batch.available.")
        self._spend_budget(int(batch.at), len(sent))
        return batch

    def _spend_budget(self, day: int, sends: int) -> None:
        if day != self._today:
            self._today, self._sent_today = day, 0
        self._sent_today += sends
        limit = self.world.daily_sends
        if limit is not None and self._sent_today > limit:
            raise BadInput(f"{self._sent_today} sends on day {day}, but the world allows {limit}.")

    def _draw_outcomes(self, batch: Batch, sending: Ints, users: Ints, messages: Ints) -> None:
        """Draw for those who are still there; those who have left in secret get nothing."""
        there = ~self._left[users]
        sending, users, messages = sending[there], users[there], messages[there]
        asked = (users, batch.burden[sending], batch.step, batch.moment[sending])
        row = np.arange(len(users))
        p_click = self.world.click_probability(*asked)[row, messages]
        p_leave = self.world.unsubscribe_probability(*asked)[row, messages]
        clicked = uniforms(self.seed, users, batch.step, Kind.CLICK) < p_click
        leaves = uniforms(self.seed, users, batch.step, Kind.UNSUBSCRIBE) < p_leave
        self._left[users[leaves]] = True
        self._book(batch, sending, p_click, clicked, leaves)
        self._announce(CLICK, users[clicked], batch, self.world.click_delay)
        self._announce(UNSUBSCRIBE, users[leaves], batch, self.world.unsubscribe_delay)

    def _book(
        self, batch: Batch, sending: Ints, p_click: Floats, clicked: Bools, leaves: Bools
    ) -> None:
        day, worth = int(batch.at), batch.values[sending]
        cost = self.world.send_cost * len(sending)
        self._daily["value"][day] += worth @ clicked - cost
        self._daily["clicks"][day] += clicked.sum()
        self._daily["left"][day] += leaves.sum()
        self._daily["sends"][day] += len(sending)
        self._expected_value += float(worth @ p_click) - cost

    def _announce(self, kind: int, users: Ints, batch: Batch, delay: Delay) -> None:
        stream = Kind.CLICK_DELAY if kind == CLICK else Kind.UNSUBSCRIBE_DELAY
        days = delay.days(uniforms(self.seed, users, batch.step, stream))
        new = Events(
            kind=np.full(len(users), kind, dtype=np.int64),
            user=users,
            step=np.full(len(users), batch.step, dtype=np.int64),
            at=batch.at + days,
        )
        self._pending = _joined(self._pending, new)

    def _deliver(self) -> tuple[Events, float]:
        times = self.world.times
        last = self._step + 1 >= len(times)
        until = self.world.horizon if last else float(times[self._step + 1])
        due = self._pending.at < until
        news, self._pending = _picked(self._pending, due), _picked(self._pending, ~due)
        self._known_gone[news.user[news.kind == UNSUBSCRIBE]] = True
        return _picked(news, np.argsort(news.at, kind="stable")), until


def simulate(world: World, policy: Policy, seed: int) -> Outcome:
    """Let a policy act in a world from start to horizon."""
    run = Run(world, seed)
    while (batch := run.next()) is not None:
        events, until = run.apply(policy.act(batch))
        policy.observe(events, until)
    return run.outcome()


def _no_events() -> Events:
    none = np.zeros(0, dtype=np.int64)
    return Events(kind=none, user=none, step=none, at=np.zeros(0))


def _joined(a: Events, b: Events) -> Events:
    return Events(
        kind=np.concatenate([a.kind, b.kind]),
        user=np.concatenate([a.user, b.user]),
        step=np.concatenate([a.step, b.step]),
        at=np.concatenate([a.at, b.at]),
    )


def _picked(events: Events, rows: Ints | Bools) -> Events:
    return Events(events.kind[rows], events.user[rows], events.step[rows], events.at[rows])
