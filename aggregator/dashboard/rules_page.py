"""The rules of alarms: which applies where, whether it is on, and what it would have raised."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import (
    Action,
    Column,
    Empty,
    Layout,
    Listing,
    Numbers,
    Portion,
    Shown,
    card,
    each,
    ids_of,
)
from aggregator.dashboard.view import View
from aggregator.fleet.alarms import Rule
from aggregator.fleet.conditions import (
    Condition,
    DueSoon,
    FastDecline,
    GatewayOffline,
    OfRecords,
    OutboxNearlyFull,
    PredictionStale,
    QuarantineGrowing,
    RulLow,
    SensorBad,
)
from aggregator.fleet.durations import in_words
from aggregator.store.alarm_rules import StoredRule, find_rule, list_rules, replace_rule
from aggregator.store.database import Store
from aggregator.store.reads import Session
from aggregator.store.reads.alarm_simulation import Limit, Wanted, simulate
from shared.errors import SpoolwatchError

TRIED_DAYS = 30
TRIED_ENGINES = 1000
TRIED_FOR_S = 20.0
ACTIONS = (
    Action("try", f"Try on {TRIED_DAYS} days", "t"),
    Action("off", "Switch off", "o"),
    Action("on", "Switch on", "i"),
)


class RuleListing(Listing):
    """The rules for all sites, and those for sites where one is an engineer."""

    role = Role.ENGINEER

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Rules",
            heading="Rules of alarms",
            columns=(
                Column("rule", "Rule", phone="title", is_name=True),
                Column("priority", "Priority", "badge", phone="corner"),
                Column("condition", "Raised when"),
                Column("applies", "Where", phone="right"),
                Column("state", "State", "badge", phone="right"),
            ),
            sorts=("name",),
            actions=ACTIONS,
            empty=Empty("There is no rule, so nothing raises an alarm"),
            adds=("Add a rule", "/rules/new"),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        rules = [one.rule for one in list_rules(session, sites)]
        disabled = sum(not rule.is_enabled for rule in rules)
        narrower = sum(bool(rule.site or rule.type) for rule in rules)
        cards = [
            card("rules", len(rules) - disabled, "that raise alarms"),
            card("disabled", disabled, "what they cover raises none"),
            card("narrower", narrower, "for one site or type, before those for all"),
        ]
        return Numbers(cards, not rules)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say; of rules there are not many."""
        rules = list_rules(session, sites)
        return Portion([row_of(one) for one in (rules[::-1] if view.is_falling else rules)], total=len(rules))

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Try rules on what was recorded, or switch them."""
        store, now = source.centre.store, source.now()
        if action == "try":
            return " ".join(_tried(store, visitor, rule_id, now) for rule_id in ids_of(keys))

        def switch(rule_id: int) -> None:
            replace_rule(store, rule_id, lambda rule: replace(rule, is_enabled=action == "on"), now, by=visitor)

        return each(ids_of(keys), switch)


def _tried(store: Store, visitor: Caller, rule_id: int, now: datetime) -> str:
    try:
        with store.session() as session:
            rule = find_rule(session, visitor.sites(Role.ENGINEER), rule_id).rule
    except SpoolwatchError as error:
        return f"Not tried: {error}."
    return f"{rule.name}: {try_rule(store, visitor, rule, now)}"


def try_rule(store: Store, visitor: Caller, rule: Rule, now: datetime) -> str:
    """Say what a rule would have raised on the engines that it covers, at sites where the visitor is an engineer."""
    condition = rule.condition
    if not isinstance(condition, OfRecords):
        return "goes by the moment and not by records, so it cannot be tried."
    wanted = Wanted(now - timedelta(days=TRIED_DAYS), rule.site or None, rule.type or None)
    sites, until = visitor.sites(Role.ENGINEER), time.monotonic() + TRIED_FOR_S
    engines, raised, after = 0, list[str](), None
    while True:
        with store.session() as session:
            tried = simulate(session, sites, condition, wanted, after, Limit(TRIED_ENGINES))
        engines += tried.engines
        raised += [one.engine for one in tried.raised]
        after = tried.go_on_behind
        if after is None or time.monotonic() > until:
            break
    of = (
        f"{engines} engines"
        if after is None
        else f"the first {engines} engines, for which {TRIED_FOR_S:g} s were enough"
    )
    return f"would have raised {len(raised)} in {TRIED_DAYS} days, on {len(set(raised))} of {of}."


def row_of(stored: StoredRule) -> Shown:
    """One rule."""
    rule = stored.rule
    after_s = rule.escalates_after_s
    return {
        "key": str(stored.row.id),
        "name": f"rule {rule.name} {where_in_words(rule)}",
        "href": f"/rules/{stored.row.id}",
        "rule": rule.name,
        "priority": rule.priority.value,
        "condition": condition_in_words(rule.condition),
        "applies": where_in_words(rule),
        "state": "active" if rule.is_enabled else "disabled",
        "notes": {} if after_s is None else {"priority": f"higher after {in_words(after_s)} unseen"},
    }


def where_in_words(rule: Rule) -> str:
    """What a rule covers.

    >>> from aggregator.fleet.alarms import DEFAULT_RULES
    >>> where_in_words(DEFAULT_RULES[0])
    'all sites'
    """
    site = f"site {rule.site}" if rule.site else "all sites"
    return f"type {rule.type}, {site}" if rule.type else site


def condition_in_words(condition: Condition) -> str:
    """When an alarm is raised.

    >>> condition_in_words(RulLow(below_cycles=20, probability=0.05))
    'with a probability of 5 % or more fewer than 20 cycles are left, 3 times in a row'
    """
    match condition:
        case RulLow():
            few = f"fewer than {condition.below_cycles:g} cycles are left"
            times = f"{condition.predictions} times in a row"
            return f"with a probability of {condition.probability * 100:g} % or more {few}, {times}"
        case FastDecline():
            fast = f"more than {condition.above_cycles_per_cycle:g} cycles are lost for each flown"
            return f"{fast}, over {condition.over_cycles}, {condition.predictions} times in a row"
        case SensorBad():
            return f"in {condition.rows} rows in a row some channel cannot be used"
        case PredictionStale():
            return f"no prediction for {in_words(condition.after_s)}"
        case DueSoon():
            confidence = f"with a confidence of {condition.confidence * 100:g} %"
            return f"due within {in_words(condition.lead_time_s)}, {confidence}"
        case GatewayOffline():
            return f"nothing is heard of it for {in_words(condition.after_s)}"
        case OutboxNearlyFull():
            return f"{condition.above * 100:g} % of its outbox are used"
        case QuarantineGrowing():
            return f"more than {condition.above_records} set aside within {in_words(condition.within_s)} wait"
