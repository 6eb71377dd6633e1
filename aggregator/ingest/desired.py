"""Beside the acks: what each gateway is told of its engines, published when it has changed and on each connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

import structlog

from aggregator.signing import CommandKey
from aggregator.store.database import Store
from aggregator.store.desired import Message, mark_restored, messages_since, renew
from shared.topics import GatewayTopic

log = structlog.get_logger(__name__)

POLL_S = 1.0
RETRY_S = 5.0
RENEW_AGAIN_S = 60.0  # after what cannot be made, for whatever reason, could not
NAMED_MAX = 10
# Another aggregator's transaction may end after a later one of ours.
OVERLAP_MS = 60_000
# Any broker of ours takes this much; a larger message that twice ended the connection is not tried again for a while,
# for the connection may have ended for another reason.
SAFE_BYTES = 4096 - 512
TRIES = 2
GIVEN_UP_S = 600.0

Send = Callable[[str, bytes], Awaitable[None]]


class _Tries(NamedTuple):
    """How often a message was sent without success, and when last."""

    times: int
    at_s: float


class DesiredMessages:
    """Makes stale messages anew and publishes what this aggregator has not; every replica does, and it does no harm.

    Args:
        store: where they are kept.
        epoch: of the store.
        key: by which gateways know them.
        monotonic_s: a clock that only goes forward, in seconds.
    """

    def __init__(
        self, store: Store, epoch: str, key: CommandKey, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._epoch, self._key, self._monotonic_s = store, epoch, key, monotonic_s
        self._published: dict[str, int] = {}
        self._latest = 0
        self._tried: dict[tuple[str, int], _Tries] = {}
        self._failed: dict[int, float] = {}
        self._is_checked = False

    async def run(self, send: Send) -> None:
        """Publish over one connection until cancelled, everything first: brokers may have lost what they retained."""
        self._published.clear()
        self._latest = 0
        while True:
            self._forget_old_tries()
            try:
                news = await asyncio.to_thread(self._news)
            except Exception as error:  # whatever the store has, it may be over soon
                log.warning("desired_not_read", error=str(error), retry_after_s=RETRY_S)
                await asyncio.sleep(RETRY_S)
                continue
            for message in news:
                await self._publish(message, send)
            await asyncio.sleep(POLL_S)

    def _news(self) -> Sequence[Message]:
        if not self._is_checked:
            mark_restored(self._store, self._epoch)
            self._is_checked = True
        self._renew()
        found = messages_since(self._store, max(0, self._latest - OVERLAP_MS))
        return [one for one in found if self._published.get(one.gateway, 0) < one.ordinal]

    def _renew(self) -> None:
        now_s = self._monotonic_s()
        self._failed = {gateway: at_s for gateway, at_s in self._failed.items() if now_s - at_s < RENEW_AGAIN_S}
        failed = renew(self._store, self._epoch, datetime.now(UTC), self._failed)
        if failed:
            self._failed |= dict.fromkeys(failed, now_s)
            named = dict(islice(failed.items(), NAMED_MAX))
            log.warning("desired_not_renewed", gateways=len(failed), reasons_by_id=named, retry_after_s=RENEW_AGAIN_S)

    async def _publish(self, message: Message, send: Send) -> None:
        key = message.gateway, message.ordinal
        payload = self._key.sign_desired(message.body)
        tried = self._tried[key].times if key in self._tried else 0
        if tried < TRIES:
            if len(payload) > SAFE_BYTES:
                self._tried[key] = _Tries(tried + 1, self._monotonic_s())
            await send(str(GatewayTopic(message.site, message.gateway, "engine-desired")), payload)
            self._tried.pop(key, None)
        else:
            reason = "the connection ended each time it was sent; does the broker take packets of this size?"
            log.error("desired_not_published", gateway=message.gateway, bytes=len(payload), reason=reason)
        self._published[message.gateway] = message.ordinal
        self._latest = max(self._latest, message.ordinal)

    def _forget_old_tries(self) -> None:
        now_s = self._monotonic_s()
        for key in [key for key, tries in self._tried.items() if now_s - tries.at_s >= GIVEN_UP_S]:
            del self._tried[key]
            self._published.pop(key[0], None)
            self._latest = 0
