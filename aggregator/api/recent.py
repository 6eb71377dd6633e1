"""Answers that many ask for at once, and that are the same for all of them: computed twice a second at most."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

FRESH_S = 1.0
RENEWED_S = 0.6
KEPT = 200


class _Answer(NamedTuple):
    """One that was asked for; what it tells is no older than the question."""

    asked_at: float
    task: asyncio.Task[bytes]

    @property
    def is_known(self) -> bool:
        return self.task.done() and self.task.exception() is None

    @property
    def has_failed(self) -> bool:
        return self.task.done() and self.task.exception() is not None


class RecentAnswers:
    """Bodies of answers by what was asked. Of one event loop.

    Who asks while the first is computed waits for that one. It is renewed before it is too old, and told until then,
    so that nobody waits as long as somebody asks.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[_Answer | None, _Answer]] = OrderedDict()

    async def answer(self, question: Hashable, ask: Callable[[], bytes]) -> bytes:
        """The answer to a question, at most a second old; asked off the event loop."""
        now = asyncio.get_running_loop().time()
        before, latest = self._kept.get(question, (None, None))
        if latest is None or latest.has_failed or (latest.is_known and now - latest.asked_at >= RENEWED_S):
            before = latest if latest is not None and latest.is_known else None
            latest = _Answer(now, asyncio.create_task(asyncio.to_thread(ask)))
            self._kept[question] = before, latest
            self._kept.move_to_end(question)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        if not latest.is_known and before is not None and now - before.asked_at < FRESH_S:
            return before.task.result()
        return await asyncio.shield(latest.task)  # who gives up waiting takes it from nobody else
