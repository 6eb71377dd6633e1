"""What every page has: its frame, its way to the store, and the loop that keeps it current without a reload."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, TypeVar

import structlog
from fastapi import Request
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from aggregator.access.roles import EVERYWHERE, Caller, Role, Sites
from aggregator.access.tokens import CredentialsError
from aggregator.api.authentication import ANYONE
from aggregator.api.deps import Centre
from aggregator.api.recent import RecentAnswers
from aggregator.dashboard import wording
from aggregator.dashboard.login import STYLE, visitor_of
from aggregator.store.reads import DatabaseError, Session

REFRESH_S = 1.0
PAGES = (
    ("/", "Fleet", Role.VIEWER),
    ("/alarms", "Alarms", Role.VIEWER),
    ("/work-orders", "Work", Role.VIEWER),
    ("/plan", "Plan", Role.VIEWER),
    ("/models", "Models", Role.VIEWER),
    ("/gateways", "Gateways", Role.VIEWER),
    ("/rules", "Rules", Role.ENGINEER),
    ("/receivers", "Receivers", Role.ADMIN),
    ("/people", "People", Role.ADMIN),
    ("/keys", "Keys", Role.ADMIN),
    ("/audit", "Audit", Role.ADMIN),
    ("/api/docs", "API", Role.VIEWER),
)
"""Where the bar leads, and who is led there."""
DETAILS = (
    ("/engines/{serial}", Role.VIEWER),
    ("/compare", Role.VIEWER),
    ("/alarms/{id}", Role.VIEWER),
    ("/work-orders/{id}", Role.VIEWER),
    ("/rules/{id}", Role.ENGINEER),
    ("/receivers/{id}", Role.ADMIN),
)
"""The pages of one thing, for who has this role at the site where it is."""
LOGO = """
<svg width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="#2f7cf0" stroke-width="2" aria-hidden="true">
  <circle cx="12" cy="12" r="10"/><circle cx="12" cy="12" r="2.4" fill="#2f7cf0"/>
  <path d="M12 9.6C12 6 14.5 4 18 4.6M14.1 13.2c3.1 1.8 3.6 5 1.3 7.7M9.9 13.2C6.8 15 3.8 13.9 2.6 10.6"/>
</svg>
"""

# Spells what `facts.local_time` has written; NiceGUI says no language.
LOCAL_TIMES = """<script>
document.documentElement.lang = "en";
customElements.define("sw-time", class extends HTMLElement {
  connectedCallback() {
    const at = new Date(this.getAttribute("at"));
    this.title = at.toISOString();
    this.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
});
</script>"""

State = TypeVar("State")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pages of one visitor read from.

    Attributes:
        centre: whose store, and whose clock, aware UTC.
        store_flag: leads a command on this machine to the same store; for admins of all sites only.
        recent: what pages have asked lately, so that many of the same ask once.
        request: what the page was opened with.
    """

    centre: Centre
    store_flag: str
    recent: RecentAnswers[Any]
    request: Request

    def now(self) -> datetime:
        """The time, aware UTC."""
        return self.centre.now()

    def register_command(self, serial: str, visitor: Caller) -> str:
        """The command that registers an engine, for somebody who may know where the store lies or not."""
        return wording.register_command(serial, self.store_flag if visitor.may(Role.ADMIN, EVERYWHERE) else "")

    async def visitor(self) -> Caller:
        """Who looks at the page.

        Raises:
            CredentialsError: their login is over.
        """
        return await visitor_of(self.request, self.centre)

    async def read(self, question: Callable[[Session, Sites], State]) -> State:
        """Ask the store, off the event loop, about the sites that the visitor may see at this moment.

        Raises:
            CredentialsError: their login is over.
        """
        sites = (await self.visitor()).sites(Role.VIEWER)
        return await asyncio.to_thread(self._ask, question, sites)

    async def shared(
        self, key: Hashable, question: Callable[[Session, Sites], State], role: Role = Role.VIEWER
    ) -> State:
        """Ask as ``read`` does, once for all pages with this key and the same sites; a second old at most.

        Raises:
            CredentialsError: their login is over.
        """
        sites = (await self.visitor()).sites(role)
        answer: State = await self.recent.answer((key, sites), lambda: self._ask(question, sites))
        return answer

    def _ask(self, question: Callable[[Session, Sites], State], sites: Sites) -> State:
        with self.centre.store.session() as session:
            return question(session, sites)

    def forget(self) -> None:
        """Have everybody asked anew: somebody has changed something."""
        self.recent.forget()


@contextmanager
def frame(visitor: Caller | None = None) -> Iterator[None]:
    """Lay out a page: the bar on top, with what the visitor may open, and below it what the caller adds."""
    ui.add_head_html(f"<style>{STYLE}</style>{LOCAL_TIMES}")
    with ui.element("header").classes("sw-top"):
        ui.html(f'<a class="sw-brand" href="/">{LOGO}<span>Spoolwatch</span></a>', sanitize=False)
        ui.html(f"<nav>{_ways(visitor)}{_way_out(visitor)}</nav>", sanitize=False)
    with ui.element("div").classes("sw-page"):
        yield


def _ways(visitor: Caller | None) -> str:
    here = ui.context.client.request.url.path
    open_to = [(path, name) for path, name, role in PAGES if visitor is None or visitor.sites(role) != frozenset()]
    return "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{name}</a>' for path, name in open_to
    )


def _way_out(visitor: Caller | None) -> str:
    if visitor is None or visitor.name == ANYONE:
        return ""
    return f'<form method="post" action="/logout"><button title="{escape(visitor.name)}">Log out</button></form>'


@contextmanager
def notice(title: str) -> Iterator[None]:
    """Say on a page of its own why there is nothing to show; the caller adds what to do."""
    with ui.element("section").classes("sw-panel sw-empty"):
        TextElement(tag="h1", text=title)
        yield


async def open_page(
    source: Source,
    ask: Callable[[], Awaitable[State]],
    build: Callable[[State, Caller], Callable[[State], None] | None],
) -> None:
    """Build a page from what the store says, and keep it current as long as it is open.

    Args:
        source: where the page reads from.
        ask: asks the store, at first and again whenever a second has passed.
        build: lays out the first answer for a visitor and returns what shows a later one, if any is to follow.
    """
    try:
        visitor = await source.visitor()
        state = await ask()
    except DatabaseError as error:
        log.warning("page_read_failed", error=str(error))
        _show_no_store()
        return
    with frame(visitor):
        show = build(state, visitor)
        if show is not None:
            _follow(ask, show)


def _show_no_store() -> None:
    ui.add_head_html('<meta http-equiv="refresh" content="5">')
    with frame(), notice("The store cannot be read at the moment"):
        TextElement(tag="p", text="This page tries again every five seconds; the aggregator's log says why.")


def _follow(ask: Callable[[], Awaitable[State]], show: Callable[[State], None]) -> None:
    trouble = ui.label("The store cannot be read at the moment; what you see may be old.").classes("sw-trouble")
    trouble.set_visibility(False)

    async def refresh() -> None:
        try:
            state = await ask()
        except CredentialsError:
            ui.navigate.to("/login")
        except DatabaseError as error:
            if not trouble.visible:
                log.warning("page_read_failed", error=str(error))
            trouble.set_visibility(True)
        else:
            trouble.set_visibility(False)
            show(state)

    ui.timer(REFRESH_S, refresh, immediate=False)
