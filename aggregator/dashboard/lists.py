"""Pages that are a list: what each of them says of itself, and how one is shown and kept current."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from nicegui import ui

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.elements import ListView
from aggregator.dashboard.frame import Source, frame, notice, open_page
from aggregator.dashboard.view import Choices, View
from aggregator.store.reads import Session
from shared.errors import SpoolwatchError

ROWS_PER_PAGE = 50

Shown = Mapping[str, Any]
"""What is sent to a browser, such as a row with its ``key``."""
Card = dict[str, Any]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list.

    Attributes:
        key: of its cells in the rows.
        kind: how they are drawn; list_view.js has the kinds.
        sort: the key by which the list is sorted when somebody clicks at its head, if it can be.
        phone: where its cells go on a narrow screen: ``title``, ``corner``, ``left``, ``right`` or ``none``.
        is_name: whether its cells lead to the page of what the row is about.
        none: what stands for a cell that has nothing.
    """

    key: str
    label: str
    kind: str = "text"
    sort: str | None = None
    phone: str = "left"
    hint: str | None = None
    is_name: bool = False
    none: str = "–"

    def shown(self) -> Shown:
        """As the browser gets it."""
        return {
            "key": self.key,
            "label": self.label,
            "kind": self.kind,
            "sort": self.sort,
            "phone": self.phone,
            "hint": self.hint,
            "isName": self.is_name,
            "none": self.none,
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """One choice among values, each with its label."""

    key: str
    label: str
    options: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done to the rows that are selected.

    Attributes:
        asks: what has to be said to it, if anything.
        leads_to: the address, to be ended by their keys, that it leads to; then nothing is done to them.
    """

    key: str
    label: str
    hotkey: str
    asks: str | None = None
    leads_to: str | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """What a list says that has nothing at all."""

    title: str
    texts: Sequence[str] = ()
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """What is the same of a list as long as its page is open.

    Attributes:
        searches: what the search says that it looks for, if there is one.
        sorts: the keys by which it can be sorted, the first one at first; those of ``falling`` falling.
        at_first: the filters that it begins with.
        csv: where the same is to be had as a file.
        adds: what the link says that leads to where one more is added, and where that is.
    """

    title: str
    heading: str
    columns: Sequence[Column]
    sorts: Sequence[str]
    empty: Empty
    falling: Sequence[str] = ()
    searches: str | None = None
    filters: Sequence[Filter] = ()
    at_first: Mapping[str, str] = field(default_factory=dict)
    actions: Sequence[Action] = ()
    csv: str | None = None
    adds: tuple[str, str] | None = None
    hides_title: bool = False

    @property
    def choices(self) -> Choices:
        """What there is to choose from."""
        values = {one.key: [value for value, _ in one.options] for one in self.filters}
        return Choices(self.sorts, values, self.falling, self.at_first)


@dataclass(frozen=True, slots=True)
class Portion:
    """What there is to see of a list.

    Attributes:
        total: how many rows there are on all pages, where it is known.
        next_place: where the next page begins, if there is one.
    """

    rows: Sequence[Shown]
    next_place: object | None = None
    total: int | None = None


def card(key: str, value: int | str, note: str, choice: tuple[str, str] | None = None) -> Card:
    """A card with one number; ``choice`` is the filter, and its value, that it chooses when it is clicked."""
    return {"key": key, "label": key.replace("_", " ").capitalize(), "value": value, "note": note, "filter": choice}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the cards above a list say, and whether there is nothing at all to list."""

    cards: Sequence[Card] = ()
    is_empty: bool = False


class Listing(ABC):
    """One list; it has what is at the sites where a visitor has its role."""

    role: ClassVar = Role.VIEWER

    @abstractmethod
    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""

    @abstractmethod
    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""

    @abstractmethod
    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""

    def csv_query(self, view: View) -> Mapping[str, str]:
        """What the file of the same rows is asked for with."""
        return {}

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Do something to the rows of these keys, off the event loop, and say what has come of it."""
        raise NotImplementedError  # by lists whose layout has no action, which nobody is offered


def ids_of(keys: Sequence[str]) -> list[int]:
    """What a browser says are the keys of rows, as ids."""
    return [int(key) for key in keys if key.isdecimal() and len(key) < 19]


def each(keys: Sequence[Key], do: Callable[[Key], None]) -> str:
    """Do something to each, and say to how many it was, and why not to the others."""
    done, troubles = 0, list[str]()
    for key in keys:
        try:
            do(key)
            done += 1
        except SpoolwatchError as error:
            troubles.append(str(error))
    return " ".join([f"Done for {done}.", *(f"Not done: {trouble}." for trouble in dict.fromkeys(troubles))])


@dataclass(slots=True)
class _Place:
    """Where an open page is at."""

    view: View
    next_place: object | None = field(default=None)


async def show_list(source: Source, listing: Listing) -> None:
    """Build the page of a list for one browser and keep it current."""
    visitor = await source.visitor()
    if visitor.sites(listing.role) == frozenset():
        ui.context.client.status_code = 403
        with frame(visitor), notice(f"This page is for whoever is {listing.role} somewhere"):
            ui.link("To the fleet", "/")
        return
    layout = listing.layout(source, visitor)
    place = _Place(View.from_query(source.request.query_params, layout.choices))

    async def ask() -> Shown:
        return await _ask(source, listing, layout, place)

    def build(state: Shown, _: Caller) -> Callable[[Shown], None]:
        element = ListView(fixed(layout), state)

        async def choose(change: Any) -> None:
            place.view = place.view.changed(change.args, layout.choices, place.next_place)
            element.show(await ask())

        async def act(wanted: Any) -> None:
            action, keys, answer = (wanted.args.get(name) for name in ("action", "keys", "answer"))
            if action in {one.key for one in layout.actions if one.leads_to is None} and isinstance(keys, list):
                visitor, chosen = await source.visitor(), [str(key) for key in keys[:ROWS_PER_PAGE]]
                said = await asyncio.to_thread(listing.act, source, visitor, action, chosen, str(answer or ""))
                element.say(said)
                source.forget()
                element.show(await ask())

        element.on("view", choose)
        element.on("act", act)
        return element.show

    await open_page(source, ask, build)


async def _ask(source: Source, listing: Listing, layout: Layout, place: _Place) -> Shown:
    view, name, now = place.view, type(listing).__name__, source.now()
    role = listing.role
    numbers = await source.shared(name, lambda session, sites: listing.numbers(session, sites, now), role)
    portion = await source.shared((name, view), lambda session, sites: listing.portion(session, sites, view, now), role)
    if place.view is view:
        place.next_place = portion.next_place
    csv = None if layout.csv is None else _with_query(layout.csv, listing.csv_query(view))
    return changing(view.url_query(layout.choices), csv, view, numbers, portion, now)


def changing(query: str, csv: str | None, view: View, numbers: Numbers, portion: Portion, now: datetime) -> Shown:
    """What changes of a list while its page is open.

    Args:
        query: what the URL of the page says.
        csv: where the same is to be had as a file; None: of what is shown.
        view: what is chosen.
        numbers: above the list.
        portion: of its rows.
        now: the time.
    """
    return {
        "rows": portion.rows,
        "now": now.timestamp(),
        "head": {
            "cards": numbers.cards,
            "isEmpty": numbers.is_empty,
            "sort": view.sort,
            "isFalling": view.is_falling,
            "search": view.search,
            "filters": dict(view.filters),
            "query": query,
            "first": len(view.places) * ROWS_PER_PAGE,
            "hasMore": portion.next_place is not None,
            "total": portion.total,
            "csv": csv,
        },
    }


def fixed(layout: Layout) -> Shown:
    """What stays the same of a list while its page is open."""
    return {
        "title": layout.title,
        "hidesTitle": layout.hides_title,
        "heading": layout.heading,
        "searches": layout.searches,
        "columns": [column.shown() for column in layout.columns],
        "filters": [asdict(one) for one in layout.filters],
        "actions": [asdict(one) for one in layout.actions],
        "empty": asdict(layout.empty),
        "adds": layout.adds,
    }


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
