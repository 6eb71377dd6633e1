"""The page of one work order: what is to be done, what became of it, and its outcome."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.facts import Entries, Terms, local_time
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.dashboard.work_page import ACTIONS, WorkListing
from aggregator.fleet.work_orders import UNFINISHED, Conclusion, Outcome, Remedy, State
from aggregator.store.reads import Session
from aggregator.store.reads.alarms import AlarmRow, alarms_by_id
from aggregator.store.reads.work_orders import (
    WorkOrderRow,
    find_work_order,
    list_alarm_ids,
    list_work_order_changes,
)
from aggregator.store.tables import WorkOrderChange
from aggregator.store.work_orders import Working
from shared.errors import SpoolwatchError

CHANGES_MAX = 200
OUTCOMES = {
    "failed, replaced": (Outcome.FAILED, Remedy.REPLACED),
    "failed, overhauled": (Outcome.FAILED, Remedy.OVERHAULED),
    "replaced, had not failed": (Outcome.REPLACED, None),
    "overhauled, had not failed": (Outcome.OVERHAULED, None),
    "no fault found": (Outcome.NO_FAULT_FOUND, None),
}


@dataclass(frozen=True, slots=True)
class WorkOrderState:
    """What the page shows; changes oldest first."""

    row: WorkOrderRow
    alarms: Sequence[AlarmRow]
    changes: Sequence[WorkOrderChange]


Ask = Callable[[], Awaitable[WorkOrderState | None]]
Show = Callable[[WorkOrderState | None], None]


async def show_work_order(source: Source, order_id: str) -> None:
    """Build the page for one browser and keep it current."""
    wanted = int(order_id) if order_id.isdecimal() and len(order_id) < 19 else 0

    def read(session: Session, sites: Sites) -> WorkOrderState | None:
        row = find_work_order(session, sites, wanted)
        if row is None:
            return None
        alarms = alarms_by_id(session, list_alarm_ids(session, wanted))
        return WorkOrderState(row, list(alarms.values()), list_work_order_changes(session, wanted, CHANGES_MAX))

    async def ask() -> WorkOrderState | None:
        return await source.shared(("work order", wanted), read)

    def build(state: WorkOrderState | None, visitor: Caller) -> Show | None:
        if state is None:
            ui.context.client.status_code = 404
            with notice(f"There is no work order {order_id[:20]}"):
                ui.link("To the work orders", "/work-orders")
            return None
        page = _WorkOrderPage(state)
        if visitor.may(Role.TECHNICIAN, state.row.site):
            page.offer(_Doing(source, wanted, ask, page.show), may_correct=visitor.may(Role.ENGINEER, state.row.site))
            page.show(state)
        return page.show

    ui.page_title(f"Work order {wanted} · Spoolwatch")
    await open_page(source, ask, build)


class _WorkOrderPage:
    """The elements of one open page; their texts change, they themselves stay."""

    def __init__(self, state: WorkOrderState) -> None:
        serial = state.row.serial
        with ui.element("div").classes("sw-title"):
            ui.link("← Work", "/work-orders").classes("sw-back")
            TextElement(tag="h1", text=f"Work order {state.row.order.id}: {serial}")
            self._state = ui.label()
            ui.link("To the engine", f"/engines/{serial}").classes("sw-back")
        self._reason = TextElement(tag="p", text="").classes("sw-lead")
        with ui.element("div").classes("sw-grid"):
            with ui.element("div").style("display: grid; gap: 16px; align-content: start"):
                self._changes = Entries("What became of it", "Nothing yet.")
                self._alarms = Entries("The alarms that it sees to", "It was opened by hand.")
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="The work order")
                self._terms = Terms(_terms(state.row))
        self._offered: dict[ui.element, Collection[State]] = {}
        self.show(state)

    def show(self, state: WorkOrderState | None) -> None:
        """Show a later state; a work order is never removed."""
        if state is None:
            return
        order = state.row.order
        self._state.set_text(order.state.replace("_", " "))
        self._state.classes(replace=f"sw-badge is-{order.state}")
        self._reason.set_text(order.reason)
        self._terms.show(_terms(state.row))
        self._changes.show([_change(one) for one in state.changes])
        self._alarms.show([_alarm(one) for one in state.alarms])
        for element, states in self._offered.items():
            element.set_visibility(State(order.state) in states)

    def offer(self, doing: "_Doing", *, may_correct: bool) -> None:
        """Let somebody work on it, as long as it is not over, and an engineer correct what it has shown."""
        with ui.element("section").classes("sw-panel") as steps:
            TextElement(tag="h2", text="Plan it and say how it goes")
            with ui.element("div").classes("sw-act"):
                answer = ui.input("For which day, to whom, or a comment").props("outlined dense")
                for action in ACTIONS:
                    _button(action.label, partial(doing.step, action.key, answer))
        asked = "Outcome", "After which cycle; as the rows say if empty", "What was found"
        end = _outcome_panel("Done: what has it shown?", asked, "Finish", doing.finish)
        self._offered = {steps: UNFINISHED, end: UNFINISHED}
        if may_correct:
            with ui.element("section").classes("sw-panel") as cancel:
                TextElement(tag="h2", text="It will not be done")
                with ui.element("div").classes("sw-act"):
                    reason = ui.input("Why it will not be done").props("outlined dense maxlength=2000")
                    _button("Cancel the order", lambda: doing.cancel(str(reason.value or "")))
            asked = "What it was", "Behind which cycle; as the rows say if empty", "For what reason"
            correct = _outcome_panel("It has shown something else", asked, "Correct", doing.correct)
            self._offered |= {cancel: UNFINISHED, correct: (State.DONE,)}
        with ui.element("div"):
            doing.said = ui.label().classes("sw-said").props("role=status")


def _outcome_panel(
    title: str, asked: tuple[str, str, str], label: str, do: Callable[[str | None, str, str], Awaitable[None]]
) -> ui.element:
    with ui.element("section").classes("sw-panel") as panel:
        TextElement(tag="h2", text=title)
        with ui.element("div").classes("sw-act"):
            outcome = ui.select(list(OUTCOMES), label=asked[0]).props("outlined dense").style("min-width: 16rem")
            cycle = ui.input(asked[1]).props("outlined dense")
            note = ui.input(asked[2]).props("outlined dense maxlength=2000")
            _button(label, lambda: do(outcome.value, str(cycle.value or ""), str(note.value or "")))
    return panel


class _Doing:
    """What somebody does on an open page, off the event loop, and is told of."""

    said: ui.label

    def __init__(self, source: Source, order_id: int, ask: Ask, show: Show) -> None:
        self._source, self._id, self._ask, self._show = source, order_id, ask, show

    async def step(self, action: str, answer: ui.input) -> None:
        """Plan, assign, start or comment."""
        visitor, text = await self._source.visitor(), str(answer.value or "")
        act = WorkListing().act
        said = await asyncio.to_thread(act, self._source, visitor, action, [str(self._id)], text)
        answer.set_value("")
        await self._tell(said)

    async def finish(self, outcome: str | None, cycle: str, note: str) -> None:
        """Give it its outcome."""

        def do(working: Working) -> None:
            working.finish(self._id, _conclusion(outcome, cycle, self._source.now()), note.strip() or None)

        await self._do(do)

    async def correct(self, outcome: str | None, cycle: str, reason: str) -> None:
        """Give it another outcome, as of when it had the first."""

        def do(working: Working) -> None:
            with self._source.centre.store.session() as session:
                row = find_work_order(session, None, self._id)
            at = None if row is None else row.order.ended_at
            working.correct(self._id, _conclusion(outcome, cycle, at or self._source.now()), _said(reason))

        await self._do(do)

    async def cancel(self, reason: str) -> None:
        """Say that it will not be done."""
        await self._do(lambda working: working.cancel(self._id, _said(reason)))

    async def _do(self, do: Callable[[Working], None]) -> None:
        visitor = await self._source.visitor()
        working = Working(self._source.centre.store, self._source.now(), by=visitor)
        try:
            await asyncio.to_thread(do, working)
        except (SpoolwatchError, ValueError) as error:
            await self._tell(f"Nothing was done: {error}.")
            return
        self._source.centre.fleet_changed()
        await self._tell("Done.")

    async def _tell(self, said: str) -> None:
        self.said.set_text(said)
        self._source.forget()
        self._show(await self._ask())


def _conclusion(outcome: str | None, cycle: str, at: datetime) -> Conclusion:
    if outcome not in OUTCOMES:
        raise ValueError("choose what it has shown")
    text = cycle.strip()
    if text and not (text.isdecimal() and len(text) < 10):
        raise ValueError(f"{text!r} is no cycle")
    what, remedy = OUTCOMES[outcome]
    after = int(text) if text and what is not Outcome.NO_FAULT_FOUND else None
    return Conclusion(what, at, after, remedy)


def _said(reason: str) -> str:
    if not reason.strip():
        raise ValueError("say for what reason")
    return reason.strip()


def _button(label: str, act: Callable[[], Awaitable[None]]) -> None:
    ui.button(label).props("flat no-caps dense padding='6px 12px'").on("click", act)


def _change(change: WorkOrderChange) -> str:
    note = "" if change.note is None else f": {escape(change.note)}"
    return f"{local_time(change.at)} <b>{escape(change.action)}</b> by {escape(change.who)}{note}"


def _alarm(row: AlarmRow) -> str:
    alarm = row.alarm
    state = "closed" if alarm.closed_at is not None else "cleared" if alarm.cleared_at is not None else "active"
    return f'<a href="/alarms/{alarm.id}">{escape(alarm.rule)}</a> {state}, {local_time(alarm.raised_at)}'


def _terms(row: WorkOrderRow) -> dict[str, str | datetime | None]:
    order = row.order
    after = None if order.ended_cycle is None else str(order.ended_cycle)
    lead = None if order.parts_lead_time_days is None else f"{order.parts_lead_time_days} days"
    outcome = ", ".join(text for text in (order.outcome, order.remedy) if text).replace("_", " ")
    return {
        "Priority": order.priority,
        "Site": row.site,
        "Planned for": None if order.planned_for is None else order.planned_for.isoformat(),
        "Parts take": lead,
        "Assigned to": order.assigned_to,
        "Opened": order.opened_at,
        "Opened by": order.opened_by,
        "Started": order.started_at,
        "Closed": order.closed_at,
        "Outcome": outcome or None,
        "After cycle": after,
    }
