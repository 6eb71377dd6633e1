"""Logins: renewed by a token that is good once; a token that comes again ends them."""

import pytest

from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.store.audit import list_audit
from aggregator.store.logins import begin_login, end_login, find_login, note_failed_login, renew_login
from aggregator.store.people import add_person
from aggregator.store.tables import Login

HERE = "192.0.2.7"
ROOT = Caller("person root", FULL_ACCESS)


@pytest.fixture
def login(store, clock):
    add_person(store, "anna", "$hash", FULL_ACCESS, ROOT, clock())
    return begin_login(store, "anna", "l-1", HERE, clock(), clock.in_(3600))


@pytest.fixture
def running(store, clock):
    def find():
        with store.session() as session:
            return find_login(session, "l-1", clock())

    return find


@pytest.fixture
def actions(store):
    def read():
        with store.session() as session:
            return [(one.who, one.action, one.subject, one.address) for one in list_audit(session, None)]

    return read


def test_a_login_stands_for_its_person(login, running):
    assert running().caller(HERE) == Caller("person anna", FULL_ACCESS, HERE, "l-1")


def test_each_token_renews_once_and_gives_the_next(login, store, clock):
    second = renew_login(store, login.refresh_token, HERE, clock())
    third = renew_login(store, second.refresh_token, HERE, clock())
    assert len({login.refresh_token, second.refresh_token, third.refresh_token}) == 3


def test_p8_a_token_that_comes_again_ends_the_login_for_whoever_has_the_next(login, store, clock, running, actions):
    following = renew_login(store, login.refresh_token, HERE, clock())
    assert renew_login(store, login.refresh_token, "203.0.113.9", clock()) is None
    assert renew_login(store, following.refresh_token, HERE, clock()) is None
    assert running() is None
    assert actions()[0] == ("person anna", "login.token_reused", "person anna", "203.0.113.9")


def test_of_two_who_renew_at_once_one_succeeds_and_the_login_ends(login, store, clock, at_once):
    for round_ in range(10):
        begun = begin_login(store, "anna", f"r-{round_}", HERE, clock(), clock.in_(60))
        answers = at_once(*[lambda begun=begun: renew_login(store, begun.refresh_token, HERE, clock())] * 2)
        assert sum(answer is not None for answer in answers) == 1
        with store.session() as session:
            assert find_login(session, f"r-{round_}", clock()) is None


@pytest.mark.parametrize("token", ["", "l-1", "l-2.x", "é.ü"])
def test_what_is_no_token_renews_nothing(login, store, clock, token):
    assert renew_login(store, token, HERE, clock()) is None


def test_a_login_ends_by_itself_and_is_forgotten_at_the_next(login, store, clock, running, rows):
    clock.advance(3600)
    assert running() is None
    assert renew_login(store, login.refresh_token, HERE, clock()) is None
    begin_login(store, "anna", "l-2", HERE, clock(), clock.in_(60))
    assert [row["id"] for row in rows(Login)] == ["l-2"]


def test_a_logout_ends_it(login, store, clock, running, actions):
    end_login(store, running().caller(HERE), clock())
    end_login(store, ROOT, clock())
    assert running() is None
    assert [action for _, action, _, _ in actions()] == ["logout", "login", "person.add"]


def test_a_failed_login_is_in_the_audit_log(store, clock, actions):
    note_failed_login(store, "anna", HERE, clock())
    assert actions() == [("nobody", "login.failed", "person anna", HERE)]


def test_no_token_is_stored(login, rows):
    (row,) = rows(Login)
    assert login.refresh_token.encode() not in row["refresh_digest"]
    assert len(row["refresh_digest"]) == 32
