"""Reads how models and alarms did over lives whose end is known: a few rows per life."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlmodel import Session, col, select

from aggregator.access.roles import Sites
from aggregator.fleet.scoring import Sums
from aggregator.store.tables import Alarm, EndedLife, Engine, LifeScore, Model, WorkOrder


@dataclass(slots=True)
class ModelOutcome:
    """How a model did.

    Attributes:
        failed: per life that ended by failure, what its predictions come to.
        censored: per life that ended by maintenance.
        leads: by rule, per failed life, how many cycles were left when it first spoke; None where it never did.
    """

    model: Model
    failed: list[Sums] = field(default_factory=list)
    censored: list[Sums] = field(default_factory=list)
    leads: dict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))


class AlarmLead(NamedTuple):
    """How long before a failure an alarm was first raised; cycles are None where nobody knows."""

    cycles: int | None
    days: float


@dataclass(slots=True)
class AlarmOutcome:
    """How the alarms of a rule did.

    Attributes:
        leads: per life that ended by failure and was warned of.
        outcomes: of the work orders that were opened from its alarms, how many there are of each.
    """

    rule: str
    leads: list[AlarmLead] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def read_model_outcomes(session: Session, sites: Sites, type: str | None = None) -> list[ModelOutcome]:
    """Read how each model did over lives of engines of these sites, by name and version."""
    query = (
        select(Model, LifeScore, EndedLife.is_failure)
        .join(LifeScore, col(LifeScore.model_id) == Model.id)
        .join(EndedLife, col(EndedLife.work_order_id) == LifeScore.work_order_id)
        .join(Engine, col(Engine.id) == EndedLife.engine_id)
        .order_by(col(Model.name), col(Model.version), col(Model.sha256), col(LifeScore.work_order_id))
    )
    if sites is not None:
        query = query.where(col(Engine.site).in_(sorted(sites)))
    if type is not None:
        query = query.where(Engine.type == type)
    found: dict[int | None, ModelOutcome] = {}
    for model, score, is_failure in session.exec(query):
        one = found.setdefault(model.id, ModelOutcome(model))
        sums = Sums(**score.sums)
        (one.failed if is_failure else one.censored).append(sums)
        for rule, left in score.leads.items() if is_failure else ():
            one.leads[rule].append(left)
    return list(found.values())


def read_alarm_outcomes(session: Session, sites: Sites) -> tuple[int, Sequence[AlarmOutcome]]:
    """Read of how many failures of engines of these sites is known, and how the alarms of each rule did, by rule."""
    lives = select(EndedLife.alarms).join(Engine, col(Engine.id) == EndedLife.engine_id).where(EndedLife.is_failure)
    done = (
        select(Alarm.rule, WorkOrder.outcome)
        .join(WorkOrder, col(WorkOrder.id) == Alarm.work_order_id)
        .join(Engine, col(Engine.id) == WorkOrder.engine_id)
        .where(col(WorkOrder.outcome).is_not(None))
    )
    if sites is not None:
        here = col(Engine.site).in_(sorted(sites))
        lives, done = lives.where(here), done.where(here)
    found: dict[str, AlarmOutcome] = {}
    failures = session.exec(lives).all()
    for alarms in failures:
        for rule, lead in alarms.items():
            found.setdefault(rule, AlarmOutcome(rule)).leads.append(AlarmLead(*lead))
    for rule, outcome in session.exec(done):
        found.setdefault(rule, AlarmOutcome(rule)).outcomes[str(outcome)] += 1
    return len(failures), [found[rule] for rule in sorted(found)]
