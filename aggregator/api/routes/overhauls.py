"""Overhauls: enter and list them, and take back what was entered by mistake."""

from typing import Annotated

from fastapi import Path, Query

from aggregator.access.roles import Role
from aggregator.api.deps import CentreDep, NowDep, Serial, SessionDep, TechnicianDep, VisibleSites
from aggregator.api.problems import edit_problem, no_such_engine, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.overhauls import NewOverhaul, Overhaul, OverhaulList
from aggregator.api.selection import FieldsQuery
from aggregator.store import overhauls
from aggregator.store.reads.engine import find_engine_id
from shared.errors import SpoolwatchError

router = resource("engines", "/engines/{serial}/overhauls")


@router.get("", summary="List an engine's overhauls", responses=problems(404, 422))
def read_overhauls(
    serial: Serial, sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[Overhaul], Query()]
) -> OverhaulList:
    """When it was overhauled, the last time first."""
    if find_engine_id(session, sites, serial) is None:
        raise no_such_engine(serial)
    return OverhaulList(items=[Overhaul.of(row) for row in overhauls.list_overhauls(session, sites, serial)])


@router.post("", summary="Enter an overhaul", status_code=201, responses=problems(404, 409, 422))
def enter(serial: Serial, wanted: NewOverhaul, caller: TechnicianDep, centre: CentreDep, now: NowDep) -> Overhaul:
    """Enter that an engine was overhauled: it is as new, and its age and baseline begin again.

    Overhauls are entered in their order (409). Where the engine hangs at a gateway, its age counts from the row after
    `after_cycle`, without that from the first row observed after `at`; the gateway is told.
    """
    try:
        entered = overhauls.NewOverhaul(serial, wanted.at or now, wanted.after_cycle)
        overhauls.overhaul(centre.store, entered, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    with centre.store.session() as session:
        return Overhaul.of(overhauls.list_overhauls(session, caller.sites(Role.TECHNICIAN), serial)[0])


@router.delete("/{epoch}", summary="Take back an overhaul", status_code=204, responses=problems(404, 409, 422))
def undo(
    serial: Serial,
    epoch: Annotated[int, Path(ge=1, le=2**31 - 1, description="Which one, as the list counts them.")],
    caller: TechnicianDep,
    centre: CentreDep,
    now: NowDep,
) -> None:
    """Take back the last overhaul (409 of any other), because it was entered by mistake: the age is what it was.

    A gateway that has taken a row by it has let go of the first rows, with which it compares: from then on it predicts
    as of an engine that it has come to know late, flagged and with wider intervals. What is the outcome of a work order
    is corrected there (409).
    """
    try:
        overhauls.undo_overhaul(centre.store, serial, epoch, now, by=caller)
    except SpoolwatchError as error:
        raise edit_problem(error) from error
