"""Keys for programs: known by their digest, good until they expire or are revoked."""

import pytest

from aggregator.access.opaque import draw_api_key, parse_api_key
from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.store.api_keys import KeyWish, add_key, find_key, list_keys, recognise, revoke_key
from aggregator.store.audit import list_audit
from aggregator.store.tables import ApiKey

ROOT = Caller("person root", FULL_ACCESS)
GRANTS = (Grant(Role.ENGINEER, "hamburg"),)


@pytest.fixture
def key(store, clock):
    key = draw_api_key()
    add_key(store, key, KeyWish("planner", GRANTS, clock.in_(60)), ROOT, clock())
    return key


@pytest.fixture
def known(store, clock):
    def ask(text):
        with store.session() as session:
            return recognise(session, parse_api_key(text), clock())

    return ask


def test_a_key_stands_for_its_grants_until_it_expires(key, known, clock):
    assert known(key.text) == (Caller(f"key {key.id}", GRANTS, is_key=True), clock.in_(60))
    clock.advance(60)
    assert known(key.text) is None


def test_p8_a_key_with_another_secret_is_not_known(key, known):
    assert known(key.text + "x") is None
    assert known(key.text[:-1]) is None
    assert known("swk_00000000_x") is None


def test_a_revoked_key_stays_listed_and_is_good_for_nothing(key, known, store, clock):
    for _ in range(2):
        revoke_key(store, key.id, ROOT, clock())
    revoke_key(store, "unknown", ROOT, clock())
    assert known(key.text) is None
    with store.session() as session:
        assert [row.id for row in list_keys(session)] == [key.id]
        assert find_key(session, key.id).revoked_at == clock()
        entries = [(one.action, one.subject, one.site) for one in list_audit(session, None)]
    assert entries == [("key.revoke", f"key {key.id}", "hamburg"), ("key.add", f"key {key.id}", "hamburg")]


def test_no_key_is_stored(key, rows):
    (row,) = rows(ApiKey)
    assert key.text not in str(row)
    assert len(row["digest"]) == 32
