"""Questions that arrive together are decided together.

One decision in numpy is mostly the overhead of its two hundred calls; thirty at once cost little
more than three. So single questions that reach the worker within one turn of its event loop go to
the decider as one batch: under load the turns are long and the batches grow, alone a question waits
for nobody. Answers are the same as one by one, up to the rounding of a float32.

A large batch gets more time than a single question, so what is gathered is sent in batches small
enough to be answered by the deadline of each question in them.
"""

import asyncio

from service.deciding import MORE_TIME_EVERY, Answer, Ask, Decider

MOST = MORE_TIME_EVERY - 1


class Gathering:
    """Collects the single questions of one turn of the event loop."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._batches: set[asyncio.Task[None]] = set()

    async def decide(self, ask: Ask) -> Answer:
        """The answer to one question."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append((ask, answer))
        return await answer

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), MOST):
            task = asyncio.create_task(self._answer(waiting[start : start + MOST]))
            self._batches.add(task)  # the event loop alone would let it be collected
            task.add_done_callback(self._batches.discard)

    async def _answer(self, batch: list[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._decider.decide([ask for ask, _ in batch])
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():  # its caller may have gone
                waiting.set_result(answer)
