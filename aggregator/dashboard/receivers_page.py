"""Who is told of alarms: whether that works, what waits for them, and what was given up."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from aggregator.access.roles import Caller, Role, Sites
from aggregator.dashboard.frame import Source
from aggregator.dashboard.lists import (
    Action,
    Column,
    Empty,
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
from aggregator.fleet.durations import in_words
from aggregator.fleet.notifying import Wishes
from aggregator.store.notifications import send_again
from aggregator.store.reads import Session
from aggregator.store.reads.notifications import count_left, list_notifications
from aggregator.store.receivers import ReceiverChange, change_receiver, find_receiver, list_receivers, wishes_of
from aggregator.store.tables import Receiver

AGAIN_AT_ONCE = 500
ACTIONS = (
    Action("again", "Send again what was given up", "a"),
    Action("off", "Switch off", "o"),
    Action("on", "Switch on", "i"),
)


class ReceiverListing(Listing):
    """The receivers that one looks after."""

    role = Role.ADMIN

    def layout(self, source: Source, visitor: Caller) -> Layout:
        """What this visitor sees of it whatever it has."""
        return Layout(
            title="Receivers",
            heading="Who is told",
            columns=(
                Column("receiver", "Receiver", phone="title", is_name=True),
                Column("state", "State", "badge", phone="corner"),
                Column("via", "By"),
                Column("told", "Is told of"),
                Column("applies", "Where", phone="none"),
                Column("left", "Waits", phone="right", none="nothing"),
                Column("paused_until", "Tried again", "when", phone="none"),
            ),
            sorts=("name",),
            actions=ACTIONS,
            empty=Empty("Nobody is told of alarms yet", ("Add who is to be told, by mail, chat or webhook.",)),
            adds=("Add a receiver", "/receivers/new"),
        )

    def numbers(self, session: Session, sites: Sites, now: datetime) -> Numbers:
        """Read what the cards say."""
        receivers, left = list_receivers(session, sites), count_left(session, sites)
        failing = sum(one.problem is not None for one in receivers)
        waiting, dead = (sum(counts[state] for counts in left.values()) for state in ("waiting", "dead"))
        cards = [
            card("receivers", sum(one.is_enabled for one in receivers), "that are told"),
            card("failing", failing, "whose last attempt failed"),
            card("waiting", waiting, "for its time, or to be tried again"),
            card("given_up", dead, "kept for a month"),
        ]
        return Numbers(cards, not receivers)

    def portion(self, session: Session, sites: Sites, view: View, now: datetime) -> Portion:
        """Read what the rows say; of receivers there are not many."""
        receivers, left = list_receivers(session, sites), count_left(session, sites)
        rows = [row_of(one, left.get(one.id or 0, {}), now) for one in receivers]
        return Portion(rows[::-1] if view.is_falling else rows, total=len(rows))

    def act(self, source: Source, visitor: Caller, action: str, keys: Sequence[str], answer: str) -> str:
        """Send again what was given up, or switch receivers."""
        if action == "again":
            return " ".join(again(source, visitor, receiver_id) for receiver_id in ids_of(keys))
        store, now = source.centre.store, source.now()

        def switch(receiver_id: int) -> None:
            with store.session() as session:
                row = find_receiver(session, visitor.sites(Role.ADMIN), receiver_id)
                wishes = wishes_of(row) or Wishes()
            change_receiver(store, receiver_id, ReceiverChange(wishes, action == "on"), now, by=visitor)

        return each(ids_of(keys), switch)


def again(source: Source, visitor: Caller, receiver_id: int) -> str:
    """Have sent again what one receiver was not told, the latest first, and say of how much.

    Raises:
        NoSuchReceiverError: there is none of this id that the visitor looks after.
    """
    store, sites = source.centre.store, visitor.sites(Role.ADMIN)
    with store.session() as session:
        name = find_receiver(session, sites, receiver_id).name
        dead = list_notifications(session, sites, "dead", name, limit=AGAIN_AT_ONCE)
        ids = [row.notification.id or 0 for row in dead]
    return f"{name}: {len(send_again(store, ids, source.now(), by=visitor))} are sent again."


def row_of(receiver: Receiver, left: Mapping[str, int], now: datetime) -> Shown:
    """One receiver; ``left`` is how many of what it is to be told wait, and were given up."""
    wishes = wishes_of(receiver) or Wishes()
    state = "failing" if receiver.problem is not None else "active"
    waiting, dead = left.get("waiting", 0), left.get("dead", 0)
    paused = receiver.paused_until if receiver.paused_until is not None and receiver.paused_until > now else None
    notes = {} if receiver.problem is None else {"receiver": receiver.problem}
    if dead:
        notes["left"] = f"{dead} given up"
    return {
        "key": str(receiver.id),
        "name": f"receiver {receiver.name}",
        "href": f"/receivers/{receiver.id}",
        "receiver": receiver.name,
        "state": state if receiver.is_enabled else "disabled",
        "via": receiver.via,
        "told": wishes_in_words(wishes),
        "applies": f"site {receiver.site}" if receiver.site else "all sites",
        "left": str(waiting) if waiting or dead else None,
        "paused_until": None if paused is None else paused.timestamp(),
        "notes": notes,
        "odd": ["receiver", "left"],
    }


def wishes_in_words(wishes: Wishes) -> str:
    """What a receiver is told, and when.

    >>> wishes_in_words(Wishes(digest_s=3600))
    'raised, escalated; what comes in 60 min is one message'
    """
    events = ", ".join(event.removeprefix("alarm.").replace("_", " ").replace(".", " ") for event in wishes.events)
    said = [events if wishes.priority == "low" else f"{events}, {wishes.priority} or above"]
    if wishes.digest_s is not None:
        said.append(f"what comes in {in_words(wishes.digest_s)} is one message")
    if wishes.quiet_hours is not None:
        said.append(f"quiet from {wishes.quiet_hours.begin} to {wishes.quiet_hours.end}")
    if wishes.unacknowledged_for_s is not None:
        said.append(f"if nobody has acknowledged for {in_words(wishes.unacknowledged_for_s)}")
    return "; ".join(said)
