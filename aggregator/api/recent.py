"""Answers that many ask for at once, and that are the same for all of them: computed once a second at most."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable

FRESH_S = 1.0
KEPT = 200


class RecentAnswers:
    """Bodies of answers by what was asked; who asks while one is computed waits for that one. Of one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[float, asyncio.Task[bytes]]] = OrderedDict()

    async def answer(self, question: Hashable, ask: Callable[[], bytes]) -> bytes:
        """The answer to a question, at most a second old; asked off the event loop where there is none."""
        now = asyncio.get_running_loop().time()
        until, task = self._known.get(question, (0.0, None))
        if task is None or until <= now or (task.done() and task.exception() is not None):
            task = asyncio.create_task(asyncio.to_thread(ask))
            self._known[question] = now + FRESH_S, task
            self._known.move_to_end(question)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return await asyncio.shield(task)  # who gives up waiting takes it from nobody else
