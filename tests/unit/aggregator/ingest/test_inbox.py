from datetime import UTC, datetime

import pytest

from aggregator.ingest.inbox import Inbox, Letter

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def letter(size=1, topic="t"):
    return Letter(topic, b"x" * size, NOW)


async def test_letters_come_out_in_order_and_only_once():
    inbox = Inbox()
    letters = [letter(topic=str(number)) for number in range(3)]
    assert all(inbox.put(one) for one in letters)
    assert inbox.take(2, 100) == letters[:2]
    assert inbox.take(2, 100) == letters[2:]
    assert inbox.take(2, 100) == []


async def test_a_full_inbox_refuses_and_takes_again_once_there_is_room():
    inbox = Inbox(max_messages=2, max_bytes=10)
    assert [inbox.put(letter()) for _ in range(3)] == [True, True, False]
    inbox.take(1, 10)
    assert inbox.put(letter(10)) is False
    assert inbox.put(letter(9)) is True
    assert len(inbox) == 2


@pytest.mark.parametrize("kind", ["status", "reply"])
async def test_statuses_and_replies_are_taken_up_to_twice_as_much_as_records(kind):
    """A birth or reply that is lost is not sent again, unlike a record."""
    inbox = Inbox(max_messages=2, max_bytes=10)
    records, few = (f"spoolwatch/v1/hamburg/gw-1/{of}" for of in ("records", kind))
    assert [inbox.put(letter(topic=records)) for _ in range(3)] == [True, True, False]
    assert [inbox.put(letter(topic=few)) for _ in range(3)] == [True, True, False]
    inbox.take(2, 10)
    assert inbox.put(letter(19, topic=few)) is False
    assert inbox.put(letter(18, topic=few)) is True


async def test_it_says_how_full_it_is_by_number_or_size():
    inbox = Inbox(max_messages=4, max_bytes=10)
    assert inbox.fill() == 0
    inbox.put(letter())
    assert inbox.fill() == 0.25
    inbox.put(letter(7))
    assert inbox.fill() == 0.8


async def test_a_batch_ends_at_its_size_but_holds_at_least_one():
    inbox = Inbox()
    for size in (50, 60, 70):
        inbox.put(letter(size))
    assert [len(one.payload) for one in inbox.take(10, 100)] == [50, 60]
    assert [len(one.payload) for one in inbox.take(10, 1)] == [70]


async def test_to_wait_ends_with_the_first_letter_or_with_time():
    inbox = Inbox()
    assert await inbox.wait(0.001) is False
    inbox.put(letter())
    assert await inbox.wait(0.001) is True
    inbox.take(1, 1)
    assert await inbox.wait(0.001) is False


async def test_it_says_whether_a_whole_batch_waits():
    inbox = Inbox()
    inbox.put(letter(5))
    assert inbox.holds(1, 100)
    assert inbox.holds(10, 5)
    assert not inbox.holds(2, 6)
