"""Outcomes: how models and alarms did over the lives of engines whose end is known."""

from typing import Annotated

from fastapi import Query

from aggregator.api.deps import SessionDep, VisibleSites
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.outcomes import AlarmRuleOutcome, ModelOutcome, ModelOutcomeQuery
from aggregator.api.selection import FieldsQuery
from aggregator.store.reads.outcomes import read_alarm_outcomes, read_model_outcomes

router = resource("outcomes")


@router.get("/models/outcomes", summary="How models did", responses=problems(422))
def read_models(
    sites: VisibleSites, session: SessionDep, query: Annotated[ModelOutcomeQuery, Query()]
) -> list[ModelOutcome]:
    """Error, coverage and lead time per model, over lives whose end a work order has told, of engines one may see.

    What was left at each prediction is known only of engines that failed. Where one was replaced or overhauled before,
    it would have lasted longer, nobody knows how long: such a life counts for itself (`censored`), and never as failed.
    """
    return [ModelOutcome.of(one) for one in read_model_outcomes(session, sites, query.type)]


@router.get("/alarm-rules/outcomes", summary="How alarms did", responses=problems(422))
def read_alarms(
    sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[AlarmRuleOutcome], Query()]
) -> list[AlarmRuleOutcome]:
    """By rule: how long before failures its alarm was raised, and how often no fault was found."""
    failures, found = read_alarm_outcomes(session, sites)
    return [AlarmRuleOutcome.of(one, failures) for one in found]
