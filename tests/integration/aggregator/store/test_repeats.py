"""Requests with a key are begun once, for all replicas, and remembered for a day."""

import pytest
from sqlalchemy import insert

from aggregator.store import repeats
from aggregator.store.repeats import KEYS_OF_ONE, Name, TooManyKeysError, begin, release, settle
from aggregator.store.tables import KeyedRequest, core

ANNA = Name("person anna", "k-1")


def test_a_request_begins_once_and_its_answer_is_known_from_then_on(store, clock):
    assert begin(store, ANNA, b"asked", clock()) is None
    assert begin(store, ANNA, b"asked", clock()).status is None
    settle(store, ANNA, 201, {"location": "/here"}, b"made")
    assert begin(store, ANNA, b"asked", clock()) == (b"asked", clock(), 201, {"location": "/here"}, b"made")
    assert begin(store, Name("person zoe", "k-1"), b"asked", clock()) is None


def test_of_requests_at_once_one_begins(store, clock, at_once):
    known = at_once(*[lambda: begin(store, ANNA, b"asked", clock())] * 4)
    assert known.count(None) == 1


def test_what_is_released_may_begin_again(store, clock):
    begin(store, ANNA, b"asked", clock())
    release(store, ANNA)
    assert begin(store, ANNA, b"otherwise", clock()) is None


def test_keys_are_forgotten_after_a_day_and_so_make_room(store, clock):
    used = [{"caller": "person anna", "key": f"k-{number}"} for number in range(KEYS_OF_ONE)]
    with store.writing() as connection:
        connection.execute(insert(core(KeyedRequest)).values(digest=b"asked", begun_at=clock()), used)
    with pytest.raises(TooManyKeysError):
        begin(store, Name("person anna", "k-new"), b"asked", clock())
    clock.advance(86_399)
    assert begin(store, Name("person anna", "k-0"), b"asked", clock()) is not None
    clock.advance(1)
    assert begin(store, Name("person anna", "k-new"), b"asked", clock()) is None


def test_answers_of_one_caller_are_kept_as_long_as_there_is_room(store, clock, monkeypatch):
    monkeypatch.setattr(repeats, "KEPT_MAX_BYTES", 10)
    names = [
        Name("person anna", "k-1"),
        Name("person anna", "k-2"),
        Name("person anna", "k-3"),
        Name("person zoe", "k"),
    ]
    for name, body in zip(names, [b"123456", b"12345", b"1234", b"1234567890"], strict=True):
        begin(store, name, b"asked", clock())
        settle(store, name, 201, {"location": "/here"}, body)
    kept = [begin(store, name, b"asked", clock()) for name in names]
    assert [(known.status, known.body) for known in kept] == [
        (201, b"123456"),
        (201, None),
        (201, b"1234"),
        (201, b"1234567890"),
    ]
    assert kept[1].headers is None
