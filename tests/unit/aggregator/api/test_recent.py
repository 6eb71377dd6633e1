"""What many ask for at once is computed once."""

import asyncio
import threading

import pytest

from aggregator.api.recent import RENEWED_AT, RecentAnswers

KEPT, FRESH_S = 3, 5.0


@pytest.fixture
async def clock(monkeypatch):
    """The event loop's time, which stands still until the test moves it on."""

    class Clock:
        at = asyncio.get_running_loop().time()

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: Clock.at)
    return Clock


async def test_who_asks_while_it_is_computed_waits_for_the_same_answer(clock):
    recent, asked, go = RecentAnswers(KEPT, FRESH_S), [], threading.Event()

    def ask():
        asked.append("question")
        go.wait(60)
        return b"answer"

    waiting = [asyncio.create_task(recent.answer("question", ask)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting.pop().cancel()
    go.set()
    assert await asyncio.gather(*waiting) == [b"answer"] * 9
    assert await recent.answer("question", ask) == b"answer"
    assert asked == ["question"]


async def test_another_question_has_another_answer():
    recent = RecentAnswers(KEPT, FRESH_S)
    assert await recent.answer("one", lambda: b"1") == b"1"
    assert await recent.answer("other", lambda: b"2") == b"2"


async def test_what_is_too_old_is_asked_again(clock):
    recent = RecentAnswers(KEPT, FRESH_S)
    await recent.answer("question", lambda: b"old")
    clock.at += FRESH_S
    assert await recent.answer("question", lambda: b"new") == b"new"


async def test_what_is_soon_too_old_is_renewed_while_it_is_still_told(clock):
    recent, go = RecentAnswers(KEPT, FRESH_S), threading.Event()

    def ask_again():
        go.wait(60)
        return b"new"

    assert await recent.answer("question", lambda: b"old") == b"old"
    clock.at += RENEWED_AT * FRESH_S
    assert await recent.answer("question", ask_again) == b"old"
    clock.at += (1 - RENEWED_AT) * FRESH_S
    waiting = asyncio.create_task(recent.answer("question", ask_again))
    go.set()
    assert await waiting == b"new"


async def test_an_answer_that_cannot_be_renewed_is_told_no_longer_than_it_is_good(clock):
    recent = RecentAnswers(KEPT, FRESH_S)

    def fail():
        raise OSError("the store is away")

    assert await recent.answer("question", lambda: b"old") == b"old"
    clock.at += RENEWED_AT * FRESH_S
    assert await recent.answer("question", fail) == b"old"
    clock.at += (1 - RENEWED_AT) * FRESH_S
    with pytest.raises(OSError, match="the store is away"):
        await recent.answer("question", fail)


async def test_an_error_is_told_to_who_asked_and_asked_again_by_the_next():
    recent = RecentAnswers(KEPT, FRESH_S)

    def fail():
        raise OSError("the store is away")

    with pytest.raises(OSError, match="the store is away"):
        await recent.answer("question", fail)
    assert await recent.answer("question", lambda: b"back") == b"back"


async def test_only_so_many_answers_are_kept(clock):
    recent = RecentAnswers(KEPT, FRESH_S)
    for number in range(KEPT + 1):
        await recent.answer(number, lambda: b"first")
    assert await recent.answer(KEPT, lambda: b"again") == b"first"
    assert await recent.answer(0, lambda: b"again") == b"again"


async def test_what_is_forgotten_is_asked_again():
    recent = RecentAnswers(KEPT, FRESH_S)
    await recent.answer("question", lambda: b"before the change")
    recent.forget()
    assert await recent.answer("question", lambda: b"after it") == b"after it"
