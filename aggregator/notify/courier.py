"""Takes notifications to their receivers, each by its kind."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from aggregator.access.sealing import Seal, SealError
from aggregator.fleet.due import DueDate
from aggregator.notify import apprise, cloudevents
from aggregator.notify.outcome import Outcome
from aggregator.notify.wording import message, subject_of
from aggregator.store.notifications import Due
from aggregator.store.receivers import Address
from aggregator.store.tables import Receiver

PROCESSES_MAX = 4
"""Of Apprise at once; each takes a second of a processor and 50 MB."""


class _Secrets(msgspec.Struct, frozen=True):
    """What is sealed of a receiver; ``old_secret`` is good beside ``secret`` until ``old_until``."""

    url: str
    secret: str | None = None
    old_secret: str | None = None
    old_until: datetime | None = None

    def good(self, now: datetime) -> list[str]:
        """The secrets to sign by, the new one first."""
        is_old_good = self.old_until is not None and now < self.old_until
        return [one for one in (self.secret, self.old_secret if is_old_good else None) if one is not None]


class Drawn(NamedTuple):
    """An address, and the secret that its owner is shown once; None where there is none."""

    address: Address
    secret: str | None


class Courier:
    """Sends, and keeps what it takes to send sealed.

    Args:
        seal: opens what only the centre may read.
        source: names this centre in events.
        public_url: where its pages are; None where nobody said.
        now: the clock, aware UTC.
    """

    def __init__(self, seal: Seal, source: str, public_url: str | None, now: Callable[[], datetime]) -> None:
        self._seal, self._source, self._public_url, self._now = seal, source, public_url, now
        self._processes = asyncio.Semaphore(PROCESSES_MAX)

    async def address(self, name: str, kind: str, url: str, old: Address | None = None) -> Drawn:
        """Make the address of a receiver of this name, with the secret of the old one, if there is one.

        Raises:
            AddressError: nothing can be sent to that URL.
            SealError: the old one cannot be opened.
        """
        drawn = None
        if kind == "cloudevents":
            via = cloudevents.check_url(url)
            drawn = cloudevents.draw_secret() if old is None else None
            kept = _Secrets(url, drawn) if old is None else replace(self._open(name, old.sealed), url=url)
        else:
            async with self._processes:
                via = await apprise.check_url(url)
            kept = _Secrets(url)
        return Drawn(Address(kind, via, self._close(name, kept)), drawn)

    def with_new_secret(self, receiver: Receiver, overlap: timedelta) -> Drawn:
        """Make the address of a receiver of kind ``cloudevents`` with a new secret; the present one is good for longer.

        Raises:
            SealError: the present one cannot be opened.
        """
        kept, secret = self._open(receiver.name, receiver.sealed), cloudevents.draw_secret()
        new = _Secrets(kept.url, secret, kept.secret, self._now() + overlap)
        return Drawn(Address(receiver.kind, receiver.via, self._close(receiver.name, new)), secret)

    async def deliver(self, due: Due, lasts_until: DueDate | None = None) -> Outcome:
        """Send what is due to a receiver; people are told until when the engine lasts, if it is about one."""
        if due.receiver.kind == "apprise":
            text = message([row.content for row in due.notifications], self._public_url, lasts_until)
            return await self._tell_people(due.receiver, text.title, text.body)
        (row,) = due.notifications
        thing = subject_of(row.content)
        subject = f"engines/{thing['engine']}" if thing["engine"] else f"gateways/{thing['gateway']}"
        at = datetime.fromisoformat(row.content["change"]["at"])
        return await self._tell_machine(due.receiver, row.event_id, row.event, subject, at, row.content)

    async def test(self, receiver: Receiver) -> Outcome:
        """Send a message that says that it is a test."""
        if receiver.kind == "apprise":
            body = f"This is a test of receiver {receiver.name}. Nothing has happened to any engine."
            return await self._tell_people(receiver, "Test of Spoolwatch", body)
        said = {"receiver": receiver.name}
        return await self._tell_machine(receiver, str(uuid4()), "test", f"receivers/{receiver.id}", self._now(), said)

    async def _tell_people(self, receiver: Receiver, title: str, body: str) -> Outcome:
        try:
            url = self._open(receiver.name, receiver.sealed).url
        except SealError as error:
            return Outcome("failed", str(error))
        async with self._processes:
            return await apprise.send(url, title, body)

    async def _tell_machine(
        self, receiver: Receiver, event_id: str, kind: str, subject: str, at: datetime, data: Mapping[str, Any]
    ) -> Outcome:
        try:
            kept = self._open(receiver.name, receiver.sealed)
        except SealError as error:
            return Outcome("failed", str(error))
        told = cloudevents.event(event_id, self._source, kind, subject, at, data)
        now = self._now()
        return await cloudevents.post(kept.url, kept.good(now), told, now)

    def _close(self, name: str, kept: _Secrets) -> str:
        return self._seal.close(msgspec.json.encode(kept), name)

    def _open(self, name: str, sealed: str) -> _Secrets:
        return msgspec.json.decode(self._seal.open(sealed, name), type=_Secrets)
