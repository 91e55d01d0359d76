"""Clocks, and the sweeps that simulated time needs."""

import asyncio

import pytest

from service.clock import SimulatedClock, SystemClock
from service.sweeping import Sweeper
from tests.unit.service.harness import SwitchableStore, Worker


def test_a_simulated_clock_never_steps_back() -> None:
    clock = SimulatedClock()
    assert [5.0, 5.0, 5.0, 7.0] == [clock.arrival(at) for at in (5.0, 3.0, None, 7.0)]
    assert 7.0 == clock.now()


def test_what_a_sender_says_does_not_move_the_system_clock() -> None:
    clock = SystemClock()
    before = clock.now()
    assert before <= clock.arrival(0.0) <= clock.now()


class Deadlines(SwitchableStore):
    """A store whose deadlines the test sets; remembers when it was swept."""

    def __init__(self, *due: float) -> None:
        self.due, self.swept = sorted(due), list[float]()

    async def sweep(self, now: float, limit: int = 1) -> float | None:
        self.swept.append(now)
        self.due = self.due[limit:] if self.due and self.due[0] <= now else self.due
        return self.due[0] if self.due else None


async def test_a_sweep_goes_on_until_nothing_is_due() -> None:
    store = Deadlines(1.0, 2.0, 3.0, 9.0)
    await Sweeper(store, 600.0).sweep(5.0)
    assert [9.0] == store.due


@pytest.mark.parametrize(("due", "first_needed"), [((), 610.0), ((50.0,), 50.0)])
async def test_no_sweep_is_needed_before_anything_can_be_due(
    due: tuple[float, ...], first_needed: float
) -> None:
    """Swept at 10 s; what is decided later waits at least 600 s, so nothing is due before 610."""
    sweeper = Sweeper(Deadlines(*due), 600.0)
    assert sweeper.needed(10.0)
    await sweeper.sweep(10.0)
    assert (False, True) == (sweeper.needed(first_needed - 1.0), sweeper.needed(first_needed))


async def test_sweeping_after_a_jump_is_not_on_the_decisions_deadline(
    simulated: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is set when the sweep is over, however long that took."""
    done: list[str] = []
    sweep, timeout = simulated.held.sweeper.sweep, asyncio.timeout

    async def swept(now: float) -> None:
        await sweep(now)
        done.append("swept")

    def deadline(delay: float | None) -> asyncio.Timeout:
        done.append("deadline")
        return timeout(delay)

    monkeypatch.setattr(simulated.held.sweeper, "sweep", swept)
    monkeypatch.setattr("service.deciding.asyncio.timeout", deadline)
    answer = (await simulated.decide(at="2031-05-01T12:00:00Z")).json()
    assert (["swept", "deadline"], "chosen") == (done, answer["reason"])


async def test_a_sweep_that_fails_after_a_jump_makes_the_answer_the_fallback(
    simulated: Worker,
) -> None:
    simulated.store.away = True
    answer = (await simulated.decide(at="2031-05-01T12:00:00Z")).json()
    assert "fallback" == answer["reason"]
