"""The rules of alarms: which rule applies to what, and when it raises an alarm and clears it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from aggregator.fleet.conditions import (
    Condition,
    DueSoon,
    FastDecline,
    GatewayOffline,
    OutboxNearlyFull,
    PredictionStale,
    QuarantineGrowing,
    RulLow,
    SensorBad,
    Verdict,
)


class Priority(StrEnum):
    """How soon somebody should act, least urgent first; the words of ISA-18.2 and IEC 62682."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


def more_urgent(priority: Priority) -> Priority:
    """The next priority; of the most urgent one itself.

    >>> more_urgent(Priority.MEDIUM).value, more_urgent(Priority.URGENT).value
    ('high', 'urgent')
    """
    ladder = list(Priority)
    return ladder[min(ladder.index(priority) + 1, len(ladder) - 1)]


@dataclass(frozen=True, slots=True)
class Rule:
    """When an alarm is raised.

    Attributes:
        name: what is raised by it; rules of one name are of different scopes, and only one applies to an engine.
        site: the one site that it is for; empty for all.
        type: the one type of engine that it is for; empty for all, and for rules of gateways.
        escalates_after_s: for so long an alarm may be active at one priority with nobody having acknowledged it; then
            it becomes one step more urgent. None: it stays as it is.
    """

    name: str
    priority: Priority
    condition: Condition
    site: str = ""
    type: str = ""
    is_enabled: bool = True
    escalates_after_s: float | None = None

    def covers(self, site: str, type: str) -> bool:
        """Whether an engine or gateway is in its scope."""
        return self.site in ("", site) and self.type in ("", type)


def applying(rules: Iterable[Rule], site: str, type: str = "") -> dict[str, Rule]:
    """The rules that apply at a site and to a type, by name: the one of the narrowest scope, where it is enabled.

    A rule for a type goes before one for a site, and one for both before either.

    >>> everywhere = Rule("rul", Priority.HIGH, RulLow(below_cycles=20, probability=0.05))
    >>> off = Rule("rul", Priority.HIGH, everywhere.condition, site="hamburg", is_enabled=False)
    >>> [list(applying([everywhere, off], site)) for site in ("bremen", "hamburg")]
    [['rul'], []]
    """
    narrowest: dict[str, Rule] = {}
    for rule in sorted(rules, key=lambda rule: (rule.type != "", rule.site != "")):
        if rule.covers(site, type):
            narrowest[rule.name] = rule
    return {name: rule for name, rule in narrowest.items() if rule.is_enabled}


class Turn(NamedTuple):
    """That an alarm is raised or cleared, by the verdict at this place."""

    place: int
    is_active: bool


class Followed(NamedTuple):
    """What verdicts have come to: the turns, and how many in a row speak for the next one by now."""

    turns: list[Turn]
    streak: int


def follow(verdicts: Iterable[Verdict], in_a_row: int, *, is_active: bool, streak: int) -> Followed:
    """Follow the verdicts on one record after another.

    So many bad ones in a row raise the alarm, so many good ones in a row clear it.

    Args:
        verdicts: in the order of the records.
        in_a_row: how many it takes.
        is_active: whether the alarm is raised before the first.
        streak: how many in a row spoke for the next turn before the first.

    >>> bad, good = Verdict.BAD, Verdict.GOOD
    >>> follow([bad, bad, good, good, bad], 2, is_active=False, streak=0)
    Followed(turns=[Turn(place=1, is_active=True), Turn(place=3, is_active=False)], streak=1)
    """
    turns: list[Turn] = []
    wanted = Verdict.GOOD if is_active else Verdict.BAD
    for place, verdict in enumerate(verdicts):
        if verdict is not wanted:
            streak = 0
            continue
        streak += 1
        if streak >= in_a_row:
            is_active = not is_active
            turns.append(Turn(place, is_active))
            wanted = Verdict.GOOD if is_active else Verdict.BAD
            streak = 0
    return Followed(turns, streak)


DEFAULT_RULES = (
    Rule("rul-critical", Priority.URGENT, RulLow(below_cycles=20, probability=0.05)),
    Rule("rul-low", Priority.MEDIUM, RulLow(below_cycles=50, probability=0.5)),
    Rule("fast-decline", Priority.HIGH, FastDecline()),
    Rule("due-inside-lead-time", Priority.HIGH, DueSoon()),
    Rule("sensor-bad", Priority.MEDIUM, SensorBad()),
    Rule("prediction-stale", Priority.LOW, PredictionStale()),
    Rule("gateway-offline", Priority.HIGH, GatewayOffline()),
    Rule("outbox-nearly-full", Priority.HIGH, OutboxNearlyFull()),
    Rule("quarantine-growing", Priority.MEDIUM, QuarantineGrowing()),
)
"""What a new store has; ``migrations`` brings them."""
