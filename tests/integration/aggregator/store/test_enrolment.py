"""Tokens that are good once, and certificates that are let in: what the store makes sure of."""

from datetime import timedelta
from itertools import count

import pytest

from aggregator.access.authority import Issued
from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.store.audit import list_audit
from aggregator.store.enrolment import (
    EnrolmentError,
    certificates_of,
    enrol,
    keep_token,
    list_expiries,
    members,
    renew,
    revoke,
)
from aggregator.store.registry import NoSuchGatewayError, Registration, register_engine, register_gateway
from shared.enrolment import draw_token, parse_token

ROOT = Caller("root on this machine", FULL_ACCESS)
LIFETIME = timedelta(days=90)


@pytest.fixture
def sign(clock):
    numbers = count(1)
    return lambda name: Issued(f"{name}-{next(numbers)}", "pem", clock() + LIFETIME)


@pytest.fixture
def invite(store, clock):
    def make(name="gw-1", site="hamburg", by=ROOT):
        register_gateway(store, name, site, clock(), by=ROOT)
        token = draw_token(b"authority")
        keep_token(store, name, token, clock.in_(3600), by, clock())
        return token

    return make


@pytest.fixture
def let_in(store, clock):
    def read():
        with store.session() as session:
            return {one.certificate_id for one in members(session, clock())}

    return read


def test_a_token_is_good_once(store, invite, sign, let_in, clock):
    register_engine(store, Registration("E-2", "hamburg", "gw-1", "right"), clock())
    register_engine(store, Registration("E-1", "hamburg", "gw-1", "left"), clock())
    token = invite()
    enrolled = enrol(store, token, sign, "192.0.2.7", clock())
    assert (enrolled.gateway, enrolled.site, list(enrolled.engines)) == ("gw-1", "hamburg", ["E-1", "E-2"])
    assert let_in() == {"gw-1-1"}
    with pytest.raises(EnrolmentError, match="was used already"):
        enrol(store, token, sign, "192.0.2.7", clock())


def test_p8_of_many_who_use_a_token_at_once_one_gets_in(store, invite, sign, let_in, at_once, clock):
    token = invite()

    def attempt():
        try:
            return enrol(store, token, sign, None, clock()).certificate.id
        except EnrolmentError:
            return None

    got = [one for one in at_once(*[attempt] * 4) if one is not None]
    assert len(got) == 1
    assert let_in() == set(got)


def test_a_token_that_is_old_replaced_or_spelt_otherwise_is_good_for_nothing(store, invite, sign, let_in, clock):
    first = invite()
    token = invite()
    other_secret = parse_token(token.text.replace(token.text.split(".")[2], "A" * 43))
    for wrong in (first, other_secret, draw_token(b"authority")):
        with pytest.raises(EnrolmentError):
            enrol(store, wrong, sign, None, clock())
    clock.advance(3600)
    with pytest.raises(EnrolmentError, match="expired"):
        enrol(store, token, sign, None, clock())
    assert let_in() == set()


def test_a_token_survives_a_request_that_nothing_can_be_made_of(store, invite, sign, clock):
    def refuse(_):
        raise ValueError("no request")

    token = invite()
    with pytest.raises(ValueError, match="no request"):
        enrol(store, token, refuse, None, clock())
    assert enrol(store, token, sign, None, clock()).gateway == "gw-1"


def test_p8_who_enrols_anew_shuts_out_who_had_the_name_before(store, invite, sign, let_in, clock):
    enrol(store, invite(), sign, None, clock())
    enrol(store, invite(), sign, None, clock())
    assert let_in() == {"gw-1-2"}
    with pytest.raises(EnrolmentError, match="revoked or replaced"):
        renew(store, "gw-1", "gw-1-1", sign, None, clock())


def test_after_a_renewal_both_are_let_in_until_the_younger_is_renewed(store, invite, sign, let_in, clock):
    enrol(store, invite(), sign, None, clock())
    renew(store, "gw-1", "gw-1-1", sign, None, clock())
    assert let_in() == {"gw-1-1", "gw-1-2"}  # a box that lost its power before it wrote the new one still has the old
    renew(store, "gw-1", "gw-1-1", sign, None, clock())
    assert let_in() == {"gw-1-1", "gw-1-3"}
    renew(store, "gw-1", "gw-1-3", sign, None, clock())
    assert let_in() == {"gw-1-3", "gw-1-4"}


def test_p8_a_certificate_is_renewed_in_its_own_name_only(store, invite, sign, clock):
    enrol(store, invite("gw-1"), sign, None, clock())
    enrol(store, invite("gw-2"), sign, None, clock())
    with pytest.raises(EnrolmentError):
        renew(store, "gw-2", "gw-1-1", sign, None, clock())


def test_a_revoked_gateway_has_neither_certificates_nor_tokens(store, invite, sign, let_in, clock):
    enrol(store, invite(), sign, None, clock())
    token = invite()
    revoke(store, "gw-1", ROOT, clock())
    assert let_in() == set()
    with pytest.raises(EnrolmentError):
        enrol(store, token, sign, None, clock())
    revoke(store, "gw-1", ROOT, clock())
    with store.session() as session:
        assert [entry.action for entry in list_audit(session, None)].count("gateway.revoke") == 1


def test_an_expired_certificate_is_let_in_no_longer(store, invite, sign, let_in, clock):
    enrol(store, invite(), sign, None, clock())
    with store.session() as session:
        assert [one.expires_at for one in certificates_of(session, 1, clock())] == [clock() + LIFETIME]
        assert list_expiries(session) == [("gw-1", "hamburg", clock() + LIFETIME)]
    clock.advance(LIFETIME.total_seconds())
    assert let_in() == set()


def test_what_was_done_is_in_the_audit_log_and_no_secret_is(store, invite, sign, clock):
    token = invite()
    enrol(store, token, sign, "192.0.2.7", clock())
    renew(store, "gw-1", "gw-1-1", sign, "192.0.2.8", clock())
    with store.session() as session:
        entries = list_audit(session, frozenset({"hamburg"}), limit=3)
    told = [(one.action, one.who, one.address) for one in entries]
    assert told == [
        ("gateway.renew", "gateway gw-1", "192.0.2.8"),
        ("gateway.enrol", "gateway gw-1", "192.0.2.7"),
        ("gateway.invite", "root on this machine", None),
    ]
    assert entries[1].after["certificate"] == "gw-1-1"
    assert token.text.split(".")[2] not in str([one.after for one in entries])


def test_an_engineer_of_another_site_neither_invites_nor_revokes(store, invite, clock):
    stranger = Caller("person zoe", (Grant(Role.ADMIN, "bremen"), Grant(Role.VIEWER, "hamburg")))
    with pytest.raises(NoSuchGatewayError):
        invite(by=stranger)
    with pytest.raises(NoSuchGatewayError):
        revoke(store, "gw-1", stranger, clock())
