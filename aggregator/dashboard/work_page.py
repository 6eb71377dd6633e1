"""The work orders that are to be done, and those that are."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal, cast

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import (
    ROWS_PER_PAGE,
    Action,
    Column,
    Empty,
    Filter,
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
from aggregator.fleet.work_orders import Outcome, State
from aggregator.store.reads import Session
from aggregator.store.reads.work_orders import WorkOrderFilter, WorkOrderRow, count_unfinished, list_work_orders
from aggregator.store.work_orders import Working

ACTIONS = (
    Action("plan", "Plan", "p", asks="For which day, like 2026-12-01"),
    Action("assign", "Assign", "g", asks="To whom"),
    Action("start", "Start", "b"),
    Action("comment", "Comment", "c", asks="Comment"),
)
COLUMNS = (
    Column("about", "Work on", phone="title", is_name=True),
    Column("priority", "Priority", "badge", phone="corner"),
    Column("reason", "Why"),
    Column("state", "State", "badge", phone="right"),
    Column("planned_for", "Planned for", none="no day yet"),
    Column("site", "Site", phone="none"),
    Column("opened_at", "Opened", "when", phone="right"),
)


class WorkListing(Listing):
    """The work orders that are neither done nor cancelled, unless others are wanted."""

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        states = ("unfinished", *(state.value for state in State))
        return Layout(
            title="Work",
            heading="Work orders",
            columns=COLUMNS,
            sorts=("latest",),
            falling=("latest",),
            filters=(
                Filter("state", "State", [(state, state.replace("_", " ")) for state in states]),
                Filter("outcome", "Outcome", [(one.value, one.replace("_", " ")) for one in Outcome]),
            ),
            at_first={"state": "unfinished"},
            actions=ACTIONS if visitor.sites(Role.TECHNICIAN) != frozenset() else (),
            empty=Empty("There is no work order yet", ("Open one from an alarm.",)),
            csv="/api/v1/work-orders.csv",
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        counts = count_unfinished(session, sites, now.date())
        notes = {
            State.OPEN: "without a day yet",
            State.PLANNED: f"{counts.late} late" if counts.late else "none late",
            State.IN_PROGRESS: "somebody is at it",
        }
        return Numbers(
            [card(one.value, counts.by_state[one], note, ("state", one.value)) for one, note in notes.items()]
        )

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        after = cast(int, view.places[-1]) if view.places else None
        rows = list_work_orders(session, sites, _wanted(view), after, ROWS_PER_PAGE + 1)
        kept = rows[:ROWS_PER_PAGE]
        place = kept[-1].order.id if len(rows) > ROWS_PER_PAGE else None
        return Portion([row_of(row, now) for row in kept], place)

    def csv_query(self, view: View) -> Mapping[str, str]:
        """What the file of the same rows is asked for with."""
        return dict(view.filters)

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Do something about work orders, and say what has come of it."""
        working = Working(source.centre.store, source.now(), by=visitor)
        try:
            do = _doing(working, action, answer.strip())
        except ValueError as error:
            return str(error)
        return each(ids_of(keys), do)


def _doing(working: Working, action: str, answer: str) -> Callable[[int], None]:
    if action == "start":
        return working.start
    if not answer:
        raise ValueError("Nothing was done: it has to be said.")
    match action:
        case "assign":
            return lambda id: working.edit(id, {"assigned_to": answer[:100]})
        case "comment":
            return lambda id: working.comment(id, answer)
        case _:
            day = _day(answer)
            return lambda id: working.edit(id, {"planned_for": day})


def _day(answer: str) -> date:
    try:
        return date.fromisoformat(answer)
    except ValueError:
        raise ValueError(f"Nothing was done: {answer!r} is no day; write it like 2026-12-01.") from None


def _wanted(view: View) -> WorkOrderFilter:
    state, outcome = view.chosen("state"), view.chosen("outcome")
    wanted: State | Literal["unfinished"] | None
    wanted = "unfinished" if state == "unfinished" else None if state is None else State(state)
    return WorkOrderFilter(state=wanted, outcome=None if outcome is None else Outcome(outcome))


def row_of(row: WorkOrderRow, now: datetime) -> Shown:
    """One work order."""
    order = row.order
    notes = {"about": f"work order {order.id}"}
    if order.assigned_to is not None:
        notes["priority"] = f"for {order.assigned_to}"
    if order.outcome is not None:
        notes["state"] = order.outcome.replace("_", " ")
    is_late = order.closed_at is None and order.planned_for is not None and order.planned_for < now.date()
    if is_late:
        notes["planned_for"] = "late"
    return {
        "key": str(order.id),
        "name": f"work order {order.id} on {row.serial}",
        "href": f"/work-orders/{order.id}",
        "about": row.serial,
        "priority": order.priority,
        "reason": order.reason,
        "state": order.state,
        "planned_for": None if order.planned_for is None else order.planned_for.isoformat(),
        "site": row.site,
        "opened_at": order.opened_at.timestamp(),
        "notes": notes,
        "odd": ["planned_for"] if is_late else [],
    }
