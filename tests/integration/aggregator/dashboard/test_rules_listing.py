"""What the list of rules does to those that are selected."""

from types import SimpleNamespace

import pytest

from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.dashboard.rules_page import RuleListing
from aggregator.store.alarm_rules import list_rules


@pytest.fixture
def switch(store, clock):
    source = SimpleNamespace(centre=SimpleNamespace(store=store), now=clock)

    def switch(action, stored, grants=FULL_ACCESS):
        return RuleListing().act(source, Caller("anna", grants), action, [str(stored.row.id)], "")

    return switch


@pytest.fixture
def first(store):
    def first():
        with store.session() as session:
            return list_rules(session, None)[0]

    return first


def test_a_rule_is_switched_off_and_on_and_is_the_same_otherwise(switch, first):
    before = first()
    switch("off", before)
    assert not first().rule.is_enabled
    switch("on", before)
    assert first().rule == before.rule


def test_p8_who_is_engineer_of_one_site_switches_no_rule_for_all(switch, first):
    said = switch("off", first(), (Grant(Role.ENGINEER, "hamburg"),))
    assert first().rule.is_enabled
    assert "engineer" in said
