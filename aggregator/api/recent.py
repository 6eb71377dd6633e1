"""Answers that many ask for at once, and that are the same for all of them: computed once in a while for all."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

FRESH_S = 1.0
RENEWED_AT = 0.6  # of that


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Answer]):
    """One that was asked for; what it tells is no older than the question."""

    asked_at: float
    task: asyncio.Task[Answer]

    @property
    def is_known(self) -> bool:
        return self.task.done() and self.task.exception() is None

    @property
    def has_failed(self) -> bool:
        return self.task.done() and self.task.exception() is not None


class RecentAnswers(Generic[Answer]):
    """Answers by what was asked. Of one event loop.

    Who asks while the first is computed waits for that one. It is renewed before it is too old, and told until then,
    so that nobody waits as long as somebody asks.

    Args:
        kept: how many questions at most.
        fresh_s: how old an answer may be that is told.
    """

    def __init__(self, kept: int, fresh_s: float = FRESH_S) -> None:
        self._most = kept
        self._fresh_s = fresh_s
        self._kept: OrderedDict[Hashable, tuple[_Asked[Answer] | None, _Asked[Answer]]] = OrderedDict()

    def forget(self) -> None:
        """Answer anew from now on: something was changed."""
        self._kept = OrderedDict()  # another one, for this is called from any thread

    async def answer(self, question: Hashable, ask: Callable[[], Answer]) -> Answer:
        """The answer to a question, no older than ``fresh_s``; asked off the event loop."""
        kept = self._kept
        now = asyncio.get_running_loop().time()
        before, latest = kept.get(question, (None, None))
        if (
            latest is None
            or latest.has_failed
            or (latest.is_known and now - latest.asked_at >= RENEWED_AT * self._fresh_s)
        ):
            before = latest if latest is not None and latest.is_known else None
            latest = _Asked(now, asyncio.create_task(asyncio.to_thread(ask)))
            kept[question] = before, latest
            kept.move_to_end(question)
            if len(kept) > self._most:
                kept.popitem(last=False)
        if not latest.is_known and before is not None and now - before.asked_at < self._fresh_s:
            return before.task.result()
        return await asyncio.shield(latest.task)  # who gives up waiting takes it from nobody else
