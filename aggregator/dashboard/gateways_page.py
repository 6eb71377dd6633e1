"""The gateways: whether they are heard from, how long their outboxes last, and what went wrong last."""

from datetime import datetime
from typing import cast

import msgspec

from aggregator.access.roles import Caller, Sites
from aggregator.dashboard.fleet_page import LINKS
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import (
    ROWS_PER_PAGE,
    Column,
    Empty,
    Filter,
    Layout,
    Listing,
    Numbers,
    Portion,
    Shown,
    card,
)
from aggregator.dashboard.view import View
from aggregator.fleet.liveness import LinkState, liveness_of
from aggregator.store.reads import Session
from aggregator.store.reads.fleet import signs_of
from aggregator.store.reads.gateways import GatewayRow, count_links, list_gateways
from shared.messages import OutboxStatus, Status

COLUMNS = (
    Column("gateway", "Gateway", sort="name", phone="title"),
    Column("link", "Link", "link", phone="corner"),
    Column("site", "Site"),
    Column("outbox", "Outbox", hint="What the centre has not taken, of what there is room for", phone="right"),
    Column("source", "Source"),
    Column("engines", "Engines", phone="none"),
    Column("version", "Agent", phone="none"),
    Column("at", "Last record", "when", phone="right"),
)


class GatewayListing(Listing):
    """Every gateway that is known."""

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Gateways",
            heading="Gateways",
            columns=COLUMNS,
            sorts=("name",),
            searches="Find gateway or site",
            filters=(Filter("link", "Link", [(state.value, label) for state, label in LINKS.items()]),),
            empty=Empty(
                "No gateway is known yet",
                ("One is made known with the first engine that hangs at it, or by its enrolment:",),
                "spoolwatch-aggregator gateway add NAME --site SITE",
            ),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        links = count_links(session, sites, now)
        notes = {
            LinkState.ONLINE: "heard from as promised",
            LinkState.STALE: "silent for longer than promised",
            LinkState.OFFLINE: "stopped, or silent for long",
            LinkState.NEVER_SEEN: "never heard of",
        }
        cards = [card(state.value, links[state], note, ("link", state.value)) for state, note in notes.items()]
        return Numbers(cards, links.total() == 0)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say."""
        link = view.chosen("link")
        after = cast(str, view.places[-1]) if view.places else None
        rows = list_gateways(
            session,
            sites,
            after,
            ROWS_PER_PAGE + 1,
            search=view.search or None,
            link=None if link is None else (LinkState(link), now),
            descending=view.is_falling,
        )
        kept = rows[:ROWS_PER_PAGE]
        return Portion([row_of(row, now) for row in kept], kept[-1][0].name if len(rows) > ROWS_PER_PAGE else None)


def row_of(row: GatewayRow, now: datetime) -> Shown:
    """One gateway."""
    gateway, last_record_at = row
    liveness = liveness_of(signs_of(gateway, last_record_at), now)
    status = None if gateway.report is None else msgspec.convert(gateway.report, Status)
    shown = {
        "key": gateway.name,
        "name": gateway.name,
        "gateway": gateway.name,
        "site": gateway.site,
        "link": {"state": liveness.state.value, "reason": liveness.reason},
        "at": None if last_record_at is None else last_record_at.timestamp(),
    }
    if status is None:
        return shown
    source = status.source
    is_odd = source.last_error is not None
    notes = {"outbox": hours_left(status.outbox)} | ({"source": source.last_error} if source.last_error else {})
    return shown | {
        "outbox": f"{used_percent(status.outbox)} %",
        "source": f"{source.kind}: {source.state}",
        "engines": len(status.engines),
        "version": status.agent_version,
        "notes": notes,
        "odd": ["source"] if is_odd else [],
    }


def used_percent(outbox: OutboxStatus) -> int:
    """How much of the room is used that cannot be given up without a loss; begun percents count.

    >>> used_percent(OutboxStatus(used_bytes=1, capacity_bytes=1000)), used_percent(OutboxStatus())
    (1, 0)
    """
    return -(-100 * outbox.used_bytes // outbox.capacity_bytes) if outbox.capacity_bytes else 0


def hours_left(outbox: OutboxStatus) -> str:
    """For how long the outbox does without the centre.

    >>> hours_left(OutboxStatus(hours_left=80.4)), hours_left(OutboxStatus())
    ('80 h left', 'no rows')
    """
    return "no rows" if outbox.hours_left is None else f"{outbox.hours_left:.0f} h left"
