"""Single questions that arrive together share one batch, and each gets its own answer."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from engine.arms import Arm
from engine.decision import Reason
from service.deciding import Answer, Ask, Decider
from service.gathering import MOST, Gathering
from tests.unit.service.harness import settings, worker


class Echo:
    """Answers each question with its user's name; remembers the sizes of its batches."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self._error = error

    async def decide(self, asks: Sequence[Ask]) -> list[Answer]:
        self.sizes.append(len(asks))
        await asyncio.sleep(0.01)
        if self._error:
            raise self._error
        return [Answer(ask.user_id.encode(), Reason.CHOSEN, 1, Arm.BANDIT) for ask in asks]


async def test_questions_of_one_turn_are_one_batch_and_answers_find_their_way() -> None:
    echo = Echo()
    gathering = Gathering(cast(Decider, echo))
    answers = await asyncio.gather(*(gathering.decide(Ask(f"u{n}", {})) for n in range(5)))
    assert [f"u{n}".encode() for n in range(5)] == [answer.body for answer in answers]
    assert [5] == echo.sizes


async def test_many_questions_are_sent_in_batches_that_get_no_more_time_than_one() -> None:
    """Not by a stopwatch: the deadline that is set for each batch is that of one question."""
    async with worker(settings(decide_timeout_ms=5000)) as running:
        given: list[float | None] = []
        real = asyncio.timeout

        def noted(delay: float | None) -> asyncio.Timeout:
            given.append(delay)
            return real(delay)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("service.deciding.asyncio.timeout", noted)
            asks = [Ask(f"u{n}", {}) for n in range(2 * MOST + 1)]
            answers = await asyncio.gather(*map(running.held.gathering.decide, asks))
    assert {Reason.CHOSEN} == {answer.reason for answer in answers}
    assert [running.held.live.terms.timeout] * 3 == given


async def test_a_question_alone_waits_for_nobody() -> None:
    echo = Echo()
    gathering = Gathering(cast(Decider, echo))
    first = asyncio.create_task(gathering.decide(Ask("a", {})))
    await asyncio.sleep(0.002)
    await asyncio.gather(first, gathering.decide(Ask("b", {})))
    assert [1, 1] == echo.sizes


async def test_an_error_reaches_every_caller_and_none_of_the_next() -> None:
    echo = Echo(ValueError("broken"))
    gathering = Gathering(cast(Decider, echo))
    both = await asyncio.gather(
        gathering.decide(Ask("a", {})), gathering.decide(Ask("b", {})), return_exceptions=True
    )
    assert [True, True] == [isinstance(one, ValueError) for one in both]
    with pytest.raises(ValueError, match="broken"):
        await gathering.decide(Ask("c", {}))


async def test_a_caller_that_gives_up_costs_the_others_nothing() -> None:
    gathering = Gathering(cast(Decider, Echo()))
    impatient = asyncio.create_task(gathering.decide(Ask("a", {})))
    patient = asyncio.create_task(gathering.decide(Ask("b", {})))
    await asyncio.sleep(0.001)
    impatient.cancel()
    assert b"b" == (await patient).body
