"""The page of one alarm: what was seen, what became of it, and what one can do about it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.alarms_page import ACTIONS, MOST_URGENT_FIRST, AlarmListing, row_of
from aggregator.dashboard.facts import Terms, local_time
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.fleet.alarms import Priority
from aggregator.store.alarm_actions import Acting
from aggregator.store.reads import Session
from aggregator.store.reads.alarms import AlarmRow, find_alarm, list_alarm_changes
from aggregator.store.tables import AlarmChange
from shared.errors import SpoolwatchError

CHANGES_MAX = 200


@dataclass(frozen=True, slots=True)
class AlarmState:
    """What the page shows; changes oldest first."""

    row: AlarmRow
    changes: Sequence[AlarmChange]


async def show_alarm(source: Source, alarm_id: str) -> None:
    """Build the page for one browser and keep it current."""
    wanted = int(alarm_id) if alarm_id.isdecimal() and len(alarm_id) < 19 else 0

    def read(session: Session, sites: Sites) -> AlarmState | None:
        row = find_alarm(session, sites, wanted)
        return None if row is None else AlarmState(row, list_alarm_changes(session, wanted, CHANGES_MAX))

    async def ask() -> AlarmState | None:
        return await source.shared(("alarm", wanted), read)

    def build(state: AlarmState | None, visitor: Caller) -> Callable[[AlarmState | None], None] | None:
        if state is None:
            ui.context.client.status_code = 404
            with notice(f"There is no alarm {alarm_id[:20]}"):
                ui.link("To the alarms", "/alarms")
            return None
        page = _AlarmPage(state)
        if visitor.may(Role.TECHNICIAN, state.row.site):
            _offer_actions(source, wanted, ask, page.show)
        return page.show

    ui.page_title(f"Alarm {wanted} · Spoolwatch")
    await open_page(source, ask, build)


class _AlarmPage:
    """The elements of one open page; their texts change, they themselves stay."""

    def __init__(self, state: AlarmState) -> None:
        shown = row_of(state.row)
        with ui.element("div").classes("sw-title"):
            ui.link("← Alarms", "/alarms").classes("sw-back")
            TextElement(tag="h1", text=f"{state.row.alarm.rule}: {shown['about']}")
            self._state = ui.label()
            if state.row.serial is not None:
                ui.link("To the engine", f"/engines/{state.row.serial}").classes("sw-back")
        self._reason = TextElement(tag="p", text="").classes("sw-lead")
        with ui.element("div").classes("sw-grid"):
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="What became of it")
                self._changes = ui.element("ol").classes("sw-changes")
            with ui.element("section").classes("sw-panel"):
                TextElement(tag="h2", text="The alarm")
                self._terms = Terms(_terms(state.row))
        self._shown_to = 0
        self.show(state)

    def show(self, state: AlarmState | None) -> None:
        """Show a later state; an alarm is never removed."""
        if state is None:
            return
        shown = row_of(state.row)
        self._state.set_text(shown["state"])
        self._state.classes(replace=f"sw-badge is-{shown['state']}")
        self._reason.set_text(state.row.alarm.reason)
        self._terms.show(_terms(state.row))
        for change in state.changes:
            if (change.id or 0) > self._shown_to:
                self._shown_to = change.id or 0
                self._add(change)

    def _add(self, change: AlarmChange) -> None:
        note = "" if change.note is None else f": {escape(change.note)}"
        text = f"<b>{escape(change.action.replace('_', ' '))}</b> by {escape(change.who)}{note}"
        with self._changes:
            ui.html(f"{local_time(change.at)} {text}", sanitize=False, tag="li")


def _offer_actions(
    source: Source,
    alarm_id: int,
    ask: Callable[[], Awaitable[AlarmState | None]],
    show: Callable[[AlarmState | None], None],
) -> None:
    with ui.element("section").classes("sw-panel"):
        TextElement(tag="h2", text="Do something about it")
        with ui.element("div").classes("sw-act"):
            answer = ui.input("To whom, for how many days, for what reason, or a comment").props("outlined dense")
            for action in ACTIONS:
                ui.button(action.label, color=None).props("flat no-caps dense padding='6px 12px'").on(
                    "click", lambda key=action.key: act(key)
                )
        with ui.element("div").classes("sw-act"):
            why = ui.input("Why it is more or less urgent").props("outlined dense maxlength=2000")
            priority = (
                ui.select([one.value for one in MOST_URGENT_FIRST], label="Priority")
                .props("outlined dense")
                .style("min-width: 9rem")
            )
            ui.button("Set priority", color=None).props("flat no-caps dense padding='6px 12px'").on(
                "click", lambda: prioritise()
            )
        said = ui.label().classes("sw-said").props("role=status")

    async def act(action: str) -> None:
        visitor = await source.visitor()
        text = await asyncio.to_thread(
            AlarmListing().act, source, visitor, action, [str(alarm_id)], str(answer.value or "")
        )
        answer.set_value("")
        await tell(text)

    async def prioritise() -> None:
        visitor = await source.visitor()
        wanted = alarm_id, str(priority.value or ""), str(why.value or "").strip()
        await tell(await asyncio.to_thread(_prioritise, source, visitor, *wanted))

    async def tell(text: str) -> None:
        said.set_text(text)
        source.forget()
        show(await ask())


def _prioritise(source: Source, visitor: Caller, alarm_id: int, priority: str, reason: str) -> str:
    if not (priority and reason):
        return "Nothing was done: say which priority, and why."
    try:
        Acting(source.centre.store, source.now(), by=visitor).prioritise(alarm_id, Priority(priority), reason)
    except SpoolwatchError as error:
        return f"Nothing was done: {error}."
    return "Done."


def _terms(row: AlarmRow) -> dict[str, str | datetime | None]:
    alarm = row.alarm
    return {
        "Rule": alarm.rule,
        "Priority": alarm.priority,
        "Set by": alarm.priority_set_by,
        "Site": row.site,
        "Raised": alarm.raised_at,
        "Times": str(alarm.times_raised),
        "Cleared": alarm.cleared_at,
        "Seen by": alarm.acknowledged_by,
        "Assigned to": alarm.assigned_to,
        "Work order": None if alarm.work_order_id is None else str(alarm.work_order_id),
        "Shelved until": alarm.shelved_until,
        "Closed": alarm.closed_at,
        "Why closed": alarm.resolution,
    }
