"""The alarms that somebody should look at, and what is done about many of them at once."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast, get_args

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
from aggregator.fleet.alarms import Priority
from aggregator.fleet.conditions import Kind
from aggregator.store.alarm_actions import Acting
from aggregator.store.reads import Session
from aggregator.store.reads.alarms import (
    AlarmFilter,
    AlarmOrder,
    AlarmRow,
    State,
    count_open,
    list_alarms,
    place_of_alarm,
)
from aggregator.store.work_orders import NewWorkOrder, open_work_order
from shared.errors import SpoolwatchError

SHELVED_AT_MOST_DAYS = 30
ACTIONS = (
    Action("acknowledge", "Acknowledge", "a"),
    Action("assign", "Assign", "g", asks="To whom"),
    Action("comment", "Comment", "c", asks="Comment"),
    Action("work", "Open work order", "w"),
    Action("shelve", "Shelve", "s", asks=f"For how many days ({SHELVED_AT_MOST_DAYS} at most)"),
    Action("resolve", "Resolve", "r", asks="For what reason"),
)
COLUMNS = (
    Column("about", "Alarm of", phone="title", is_name=True),
    Column("priority", "Priority", "badge", sort="priority", phone="corner"),
    Column("reason", "What was seen"),
    Column("state", "State", "badge", phone="right"),
    Column("site", "Site"),
    Column("raised_at", "Raised", "when", sort="latest", phone="right"),
)
STATES = (*get_args(State), "open")
MOST_URGENT_FIRST = tuple(reversed(Priority))


class AlarmListing(Listing):
    """The alarms that are open, unless others are wanted."""

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Alarms",
            heading="Alarms",
            columns=COLUMNS,
            sorts=("priority", "latest"),
            filters=(
                Filter("state", "State", [(state, state) for state in STATES]),
                Filter("priority", "Priority", [(one.value, one.value) for one in MOST_URGENT_FIRST]),
                Filter("kind", "Kind", [(kind, kind.replace("_", " ")) for kind in get_args(Kind)]),
                Filter("seen", "Seen", [("no", "by nobody yet"), ("yes", "by somebody")]),
            ),
            at_first={"state": "open"},
            actions=ACTIONS if visitor.sites(Role.TECHNICIAN) != frozenset() else (),
            empty=Empty("No alarm was ever raised", ("When one is, it appears here by itself.",)),
            csv="/api/v1/alarms.csv",
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        counts = count_open(session, sites)
        cards = [
            card(
                priority.value,
                counts.by_priority[priority],
                f"{counts.unseen[priority]} seen by nobody" if counts.unseen[priority] else "all seen",
                ("priority", priority.value),
            )
            for priority in MOST_URGENT_FIRST
        ]
        return Numbers(cards)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        order = cast(AlarmOrder, view.sort)
        after = cast(tuple[int, int], view.places[-1]) if view.places else None
        rows = list_alarms(session, sites, _wanted(view), after, ROWS_PER_PAGE + 1, order, turned=view.is_falling)
        kept = rows[:ROWS_PER_PAGE]
        place = place_of_alarm(kept[-1].alarm) if len(rows) > ROWS_PER_PAGE else None
        return Portion([row_of(row) for row in kept], place)

    def csv_query(self, view: View) -> Mapping[str, str]:
        """What the file of the same rows is asked for with."""
        asked = dict(view.filters)
        seen = asked.pop("seen", None)
        return asked if seen is None else asked | {"acknowledged": "true" if seen == "yes" else "false"}

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Do something about alarms, and say what has come of it."""
        now = source.now()
        acting = Acting(source.centre.store, now, by=visitor)
        ids = ids_of(keys)
        if action == "acknowledge":
            done = len(acting.acknowledge_all(ids))
            return f"{done} acknowledged." if done == len(ids) else f"{done} acknowledged; the others were already."
        if action == "work":
            return _open_work(source, visitor, ids, now)
        try:
            do = _doing(acting, action, answer.strip(), now)
        except ValueError as error:
            return str(error)
        return each(ids, do)


def _open_work(source: Source, visitor: Caller, ids: Sequence[int], now: datetime) -> str:
    """Open a work order from these alarms, which are of one engine."""
    try:
        order_id = open_work_order(source.centre.store, NewWorkOrder(None, tuple(ids), {}), now, by=visitor)
    except SpoolwatchError as error:
        return f"Nothing was done: {error}."
    return f"Work order {order_id} is opened."


def _doing(acting: Acting, action: str, answer: str, now: datetime) -> Callable[[int], None]:
    if not answer:
        raise ValueError("Nothing was done: it has to be said.")
    match action:
        case "assign":
            return lambda id: acting.assign(id, answer[:100])
        case "comment":
            return lambda id: acting.comment(id, answer)
        case "shelve":
            until = now + _days(answer)
            return lambda id: acting.shelve(id, until)
        case _:
            return lambda id: acting.resolve(id, answer)


def _days(answer: str) -> timedelta:
    try:
        days = float(answer.replace(",", "."))
    except ValueError:
        days = 0.0
    if not 0 < days <= SHELVED_AT_MOST_DAYS:
        raise ValueError(f"Nothing was done: {answer!r} is no number of days up to {SHELVED_AT_MOST_DAYS}.")
    return timedelta(days=days)


def _wanted(view: View) -> AlarmFilter:
    priority, seen = view.chosen("priority"), view.chosen("seen")
    return AlarmFilter(
        state=cast(State | None, view.chosen("state")),
        priority=None if priority is None else Priority(priority),
        kind=cast(Kind | None, view.chosen("kind")),
        is_acknowledged=None if seen is None else seen == "yes",
    )


def row_of(row: AlarmRow) -> Shown:
    """One alarm."""
    alarm = row.alarm
    about = row.serial or row.gateway or ""
    done = "closed" if alarm.closed_at is not None else "cleared"
    state = "active" if alarm.closed_at is None and alarm.cleared_at is None else done
    notes = {"about": alarm.rule}
    if alarm.acknowledged_by is not None:
        notes["state"] = f"seen by {alarm.acknowledged_by.removeprefix('person ')}"
    if alarm.assigned_to is not None:
        notes["priority"] = f"for {alarm.assigned_to}"
    if alarm.work_order_id is not None:
        notes["state"] = f"work order {alarm.work_order_id}"
    if alarm.times_raised > 1:
        notes["raised_at"] = f"{alarm.times_raised} times"
    if alarm.shelved_until is not None:
        notes["reason"] = f"shelved until {alarm.shelved_until:%Y-%m-%d %H:%M} UTC"
    return {
        "key": str(alarm.id),
        "name": f"alarm {alarm.rule} of {about}",
        "href": f"/alarms/{alarm.id}",
        "about": about,
        "priority": alarm.priority,
        "reason": alarm.reason,
        "state": state,
        "site": row.site,
        "raised_at": alarm.raised_at.timestamp(),
        "notes": notes,
    }
