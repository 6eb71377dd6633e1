"""The rules of alarms: list, add, edit, delete, and try them on what was recorded."""

from datetime import timedelta
from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import TypeAdapter

from aggregator.access.roles import Role, Sites
from aggregator.api.deps import CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import cursor_of, place_of
from aggregator.api.problems import edit_problem, invalid, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.alarm_rules import (
    AlarmRule,
    AlarmRuleList,
    NewRule,
    RuleContent,
    Simulated,
    Simulation,
    WouldBe,
)
from aggregator.api.schemas.names import Name
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.alarms import Rule
from aggregator.store import alarm_rules
from aggregator.store.reads import Session
from aggregator.store.reads.alarm_simulation import Limit, Wanted, simulate
from shared.errors import SpoolwatchError

_PLACE: TypeAdapter[str] = TypeAdapter(Name)

Id = Annotated[int, Path(ge=1, le=2**31 - 1, description="The `id` of a rule.")]

router = resource("alarms", "/alarm-rules")


@router.get("", summary="List the rules of alarms", responses=problems(422))
def read_rules(
    sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[AlarmRule], Query()]
) -> AlarmRuleList:
    """Rules for all sites and for those that one may see, by name and scope."""
    return AlarmRuleList(items=[AlarmRule.of(one) for one in alarm_rules.list_rules(session, sites)])


@router.post(
    "", summary="Add a rule of alarms", status_code=201, responses={201: {"headers": ETAG}, **problems(409, 422)}
)
def add(wanted: NewRule, caller: EngineerDep, centre: CentreDep, now: NowDep, response: Response) -> AlarmRule:
    """Follow a rule from now on. One for all sites takes an engineer of all sites."""
    try:
        rule_id = alarm_rules.add_rule(centre.store, wanted.rule(), now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    response.headers["Location"] = f"/api/v1/alarm-rules/{rule_id}"
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), rule_id, response)


@router.post("/simulations", summary="Try a rule on what was recorded", responses=problems(422))
def try_rule(wanted: Simulation, caller: EngineerDep, centre: CentreDep, now: NowDep) -> Simulated:
    """What a rule would have raised, by the very code that raises alarms; nothing is stored.

    It is about engines at sites where one is an engineer, and about records that are still kept. Of a large fleet go on
    with `next`.
    """
    since = now - timedelta(days=wanted.days)
    of_engines = Wanted(since, wanted.site, wanted.type, wanted.engine)
    sites, after = caller.sites(Role.ENGINEER), place_of(wanted.cursor, _PLACE)
    with centre.store.session() as session:
        tried = simulate(session, sites, wanted.condition, of_engines, after, Limit(wanted.limit))
    return Simulated(
        since=since,
        engines=tried.engines,
        records=tried.records,
        raised=[WouldBe.of(raised) for raised in tried.raised],
        next=None if tried.go_on_behind is None else cursor_of(tried.go_on_behind),
    )


@router.get("/{id:int}", summary="Look at one rule of alarms", responses={200: {"headers": ETAG}, **problems(404, 422)})
def read_rule(
    id: Id,
    sites: VisibleSites,
    session: SessionDep,
    response: Response,
    _: Annotated[FieldsQuery[AlarmRule], Query()],
) -> AlarmRule:
    """One rule, with the `ETag` to edit it by."""
    return _show(session, sites, id, response)


@router.put(
    "/{id:int}", summary="Edit a rule of alarms", responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)}
)
def edit(
    id: Id,
    wanted: RuleContent,
    caller: EngineerDep,
    centre: CentreDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> AlarmRule:
    """Change what a rule says; name and scope stay. Alarms that are active go by it from the next record or look on."""

    def changed(rule: Rule) -> Rule:
        if rule.type and wanted.condition.subject == "gateway":
            raise invalid("body.condition", "this rule is for a type of engine, and gateways have none")
        return Rule(
            *(rule.name, wanted.priority, wanted.condition, rule.site, rule.type),
            *(wanted.enabled, wanted.escalates_after_s),
        )

    try:
        alarm_rules.replace_rule(centre.store, id, changed, now, seen_versions(if_match), by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    with centre.store.session() as session:
        return _show(session, caller.sites(Role.VIEWER), id, response)


@router.delete("/{id:int}", summary="Delete a rule of alarms", status_code=204, responses=problems(404, 412, 422))
def delete(id: Id, caller: EngineerDep, centre: CentreDep, now: NowDep, if_match: IfMatch = None) -> None:
    """Follow a rule no longer; one of a wider scope applies then, if there is one. To have none, disable it instead."""
    try:
        alarm_rules.delete_rule(centre.store, id, now, seen_versions(if_match), by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error


def _show(session: Session, sites: Sites, rule_id: int, response: Response) -> AlarmRule:
    try:
        stored = alarm_rules.find_rule(session, sites, rule_id)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    tag(response, stored.row)
    return AlarmRule.of(stored)
