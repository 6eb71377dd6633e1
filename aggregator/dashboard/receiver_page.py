"""The page of one receiver, on which it is tested, edited and deleted, and one on which one is added."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from typing import Any, get_args

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import EVERYWHERE, Caller, Role, Sites
from aggregator.api.schemas.receivers import NewReceiver as Wanted
from aggregator.api.schemas.receivers import ReceiverContent, Rotation
from aggregator.dashboard.facts import Entries, local_time
from aggregator.dashboard.forms import FIELD, Desk, push_button, trouble_in_words
from aggregator.dashboard.frame import Source, notice, open_page
from aggregator.dashboard.receivers_page import again
from aggregator.fleet.alarms import Priority
from aggregator.fleet.notifying import Event, Wishes
from aggregator.store.reads import Session
from aggregator.store.reads.notifications import NotificationRow, count_left, list_notifications
from aggregator.store.receivers import (
    Address,
    NewReceiver,
    NoSuchReceiverError,
    ReceiverChange,
    add_receiver,
    change_receiver,
    delete_receiver,
    find_receiver,
    reseal_receiver,
    wishes_of,
)
from aggregator.store.registry import NotAtSiteError
from aggregator.store.tables import Receiver
from shared.errors import SpoolwatchError

NEW = "new"
SHOWN = 20
MINUTE_S = 60
KINDS = {"apprise": "people, by mail, chat and so on", "cloudevents": "a machine, by signed webhooks"}


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """What the page shows: the row, what waits and was given up, and how many there are of each."""

    row: Receiver
    left: Sequence[NotificationRow]
    counts: Counter[str]


Ask = Callable[[], Awaitable[ReceiverState | None]]


async def show_receiver(source: Source, receiver_id: str) -> None:
    """Build the page for one browser, and keep current what waits."""
    wanted = int(receiver_id) if receiver_id.isdecimal() and len(receiver_id) < 10 else 0

    async def ask() -> ReceiverState | None:
        return await source.shared(
            ("receiver", wanted), lambda session, sites: _read(session, sites, wanted), Role.ADMIN
        )

    def build(state: ReceiverState | None, visitor: Caller) -> Callable[[ReceiverState | None], None] | None:
        if visitor.sites(Role.ADMIN) == frozenset():
            _refuse(403, "This page is for whoever is admin somewhere")
        elif state is not None:
            return _ReceiverPage(source, state, ask).show
        elif receiver_id == NEW:
            _NewReceiverPage(source)
        else:
            _refuse(404, f"There is no receiver {receiver_id[:20]}")
        return None

    ui.page_title("Receiver · Spoolwatch")
    await open_page(source, ask, build)


def _read(session: Session, sites: Sites, receiver_id: int) -> ReceiverState | None:
    try:
        row = find_receiver(session, sites, receiver_id)
    except NoSuchReceiverError:
        return None
    left = [
        one for state in ("dead", "waiting") for one in list_notifications(session, sites, state, row.name, limit=SHOWN)
    ]
    return ReceiverState(row, left, count_left(session, sites).get(receiver_id, Counter()))


def _refuse(status: int, why: str) -> None:
    ui.context.client.status_code = status
    with notice(why):
        ui.link("To the receivers", "/receivers")


class _WishFields:
    """What a receiver is told, and when."""

    def __init__(self, wishes: Wishes) -> None:
        events = {event: event.replace("_", " ").replace(".", " ") for event in get_args(Event)}
        urgent_first = [one.value for one in reversed(Priority)]
        quiet = wishes.quiet_hours
        with ui.element("div").classes("sw-fields"):
            self._events = ui.select(events, label="Is told of", value=list(wishes.events), multiple=True)
            self._priority = ui.select(urgent_first, label="Of this priority or above", value=wishes.priority.value)
            self._digest = _minutes("One message per (minutes)", wishes.digest_s)
            self._unseen = _minutes("Only if unseen for (minutes)", wishes.unacknowledged_for_s)
            self._begin = ui.input("Quiet from, like 20:00", value="" if quiet is None else quiet.begin)
            self._end = ui.input("Quiet until, like 06:00", value="" if quiet is None else quiet.end)
            self._zone = ui.input("Clocks of, like Europe/Berlin", value="" if quiet is None else quiet.zone)
            at_once = wishes.at_once.value if wishes.at_once is not None else ""
            self._at_once = ui.select({"": "never", **{one: one for one in urgent_first}}, value=at_once)
            self._at_once.props('label="At once, whatever is above, from"')
            for one in (self._events, self._priority, self._begin, self._end, self._zone, self._at_once):
                one.props(FIELD)

    def said(self) -> dict[str, Any]:
        """What stands in them."""
        hours = {"begin": self._begin.value, "end": self._end.value, "zone": self._zone.value}
        return {
            "events": tuple(self._events.value),
            "priority": self._priority.value,
            "digest_s": _seconds(self._digest),
            "quiet_hours": hours if any(hours.values()) else None,
            "at_once": self._at_once.value or None,
            "unacknowledged_for_s": _seconds(self._unseen),
        }


class _ReceiverPage:
    """The elements of one open page."""

    def __init__(self, source: Source, state: ReceiverState, ask: Ask) -> None:
        row = state.row
        self._source, self._id, self._ask = source, row.id or 0, ask
        _head(f"{row.name}: {row.via}", f"{KINDS[row.kind]}, of {f'site {row.site}' if row.site else 'all sites'}")
        self._trouble = ui.label().classes("sw-trouble")
        self._desk = desk = Desk(source, self._refresh)
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="What it is told, and when")
            self._fields = _WishFields(wishes_of(row) or Wishes())
            with ui.element("div").classes("sw-act"):
                self._url = ui.input("Another URL; as it is if empty").props(f"{FIELD} type=password autocomplete=off")
                self._is_enabled = ui.switch("is told", value=row.is_enabled)
                push_button("Save", self._save)
                push_button("Send a test", self._test)
                if row.kind == "cloudevents":
                    desk.button("Draw a new secret", self._rotate)
                desk.button("Delete", self._delete)
            desk.place()
        self._left = Entries("What waits, and what was given up", "Nothing.")
        with ui.element("div").classes("sw-act"):
            desk.button("Send again what was given up", lambda by: again(source, by, self._id))
        self.show(state)

    def show(self, state: ReceiverState | None) -> None:
        """Show what is left by now; what is being edited stays as it is."""
        if state is None:
            self._left.show([], "The receiver was deleted.")
            return
        problem = state.row.problem
        self._trouble.set_text("" if problem is None else f"The last attempt failed: {problem}")
        self._trouble.set_visibility(problem is not None)
        note = f"{state.counts['waiting']} wait, {state.counts['dead']} were given up"
        self._left.show([_entry(one) for one in state.left], note if state.left else "")

    async def _refresh(self) -> None:
        self.show(await self._ask())

    async def _save(self) -> None:
        visitor = await self._source.visitor()
        url = str(self._url.value or "").strip() or None
        try:
            said = {"url": url, "wishes": self._fields.said(), "enabled": bool(self._is_enabled.value)}
            wanted = ReceiverContent.model_validate(said)
            state = await self._ask()
            if state is None:
                raise NoSuchReceiverError("it was deleted")
            address = None
            if wanted.url is not None:
                row, courier = state.row, self._source.centre.courier
                old = Address(row.kind, row.via, row.sealed)
                address = (await courier.address(row.name, row.kind, wanted.url, old)).address
            change = ReceiverChange(wanted.wishes, wanted.enabled, address)
            await asyncio.to_thread(
                change_receiver, self._source.centre.store, self._id, change, self._source.now(), by=visitor
            )
        except (SpoolwatchError, ValueError) as error:
            await self._desk.tell(trouble_in_words(error))
            return
        self._url.set_value("")
        await self._desk.tell("Saved.")

    async def _test(self) -> None:
        state = await self._ask()
        if state is not None and (await self._source.visitor()).may(Role.ADMIN, state.row.site or EVERYWHERE):
            outcome = await self._source.centre.courier.test(state.row)
            await self._desk.tell(f"{'Sent' if outcome.state == 'sent' else 'Not sent'}: {outcome.words}.")

    def _rotate(self, by: Caller) -> str:
        overlap, drawn = timedelta(seconds=Rotation().overlap_s), list[str | None]()

        def reseal(row: Receiver) -> str:
            made = self._source.centre.courier.with_new_secret(row, overlap)
            drawn.append(made.secret)
            return made.address.sealed

        reseal_receiver(self._source.centre.store, self._id, reseal, self._source.now(), by=by)
        return f"The new secret, which is shown only here: {drawn[-1]}. For a day events are signed by the old one too."

    def _delete(self, by: Caller) -> str:
        delete_receiver(self._source.centre.store, self._id, self._source.now(), by=by)
        return "Deleted."


class _NewReceiverPage:
    """The elements of an open page on which a receiver is added."""

    def __init__(self, source: Source) -> None:
        self._source, self._desk = source, Desk(source)
        _head("A new receiver", "It is told what comes from now on. How its URL is written, docs/notification.md says.")
        with ui.element("section").classes("sw-panel"):
            TextElement(tag="h2", text="Who")
            with ui.element("div").classes("sw-fields"):
                self._name = ui.input("Name").props(FIELD)
                self._kind = ui.select(KINDS, label="Kind", value="apprise").props(FIELD)
                self._url = ui.input("URL, never shown again").props(f"{FIELD} type=password autocomplete=off")
                self._site = ui.input("Site; all if empty").props(FIELD)
            TextElement(tag="h2", text="What it is told, and when")
            self._fields = _WishFields(Wishes())
            with ui.element("div").classes("sw-act"):
                push_button("Add", self._add)
            self._desk.place()

    async def _add(self) -> None:
        visitor = await self._source.visitor()
        texts = {"name": self._name, "kind": self._kind, "url": self._url, "site": self._site}
        said: dict[str, Any] = {name: str(one.value or "").strip() or None for name, one in texts.items()}
        try:
            wanted = Wanted.model_validate(said | {"wishes": self._fields.said()})
            if not visitor.may(Role.ADMIN, wanted.site or EVERYWHERE):
                raise NotAtSiteError(wanted.site or EVERYWHERE)
            drawn = await self._source.centre.courier.address(wanted.name, wanted.kind, wanted.url)
            new = NewReceiver(wanted.name, wanted.site or "", drawn.address, wanted.wishes)
            await asyncio.to_thread(add_receiver, self._source.centre.store, new, self._source.now(), by=visitor)
        except (SpoolwatchError, ValueError) as error:
            await self._desk.tell(trouble_in_words(error))
            return
        secret = "" if drawn.secret is None else f" Its secret, which is shown only here: {drawn.secret}"
        await self._desk.tell(f"Added: {wanted.name} is told from now on.{secret}")


def _entry(row: NotificationRow) -> str:
    one = row.notification
    why = "" if one.error is None else f": {escape(one.error)}"
    attempts = f", {one.attempts} attempts" if one.attempts else ""
    state = "given up" if one.state == "dead" else "waits"
    return f"{local_time(one.due_at)} {escape(one.event.replace('_', ' ').replace('.', ' '))} {state}{attempts}{why}"


def _minutes(label: str, seconds: int | None) -> ui.number:
    value = None if seconds is None else seconds / MINUTE_S
    return ui.number(label, value=value, format="%g").props(FIELD)


def _seconds(number: ui.number) -> int | None:
    return None if number.value is None else round(number.value * MINUTE_S)


def _head(title: str, lead: str) -> None:
    with ui.element("div").classes("sw-title"):
        ui.link("← Receivers", "/receivers").classes("sw-back")
        TextElement(tag="h1", text=title)
    TextElement(tag="p", text=lead).classes("sw-lead")
