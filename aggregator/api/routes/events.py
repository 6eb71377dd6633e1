"""The live stream: what changes, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any, get_args

import structlog
from fastapi import Header, Query
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from aggregator.api.deps import CentreDep, SitesNowDep, ViewerDep
from aggregator.api.events import Wanted
from aggregator.api.feed import Feed
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.schemas.events import EventKind, EventQuery

SEND_S = 30.0  # how long a client may take to make room for what is sent next

log = structlog.get_logger(__name__)


class EventStream(StreamingResponse):
    """A stream that has its place for as long as it lasts; FastAPI's own would spell each event for each stream."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, who: str, texts: AsyncGenerator[bytes, None]) -> None:
        super().__init__(texts, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed, self._who, self._texts = feed, who, texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is to tell, until its end or the client's, or until the client reads no more."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(SEND_S):
                    await send(message)
            except TimeoutError:
                log.info("stream_not_read", who=self._who, for_s=SEND_S)
                raise ClientDisconnect from None

        with self._feed.place(self._who), suppress(ClientDisconnect):
            async with aclosing(self._texts):
                await super().__call__(scope, receive, send_in_time)


_EVENT = {
    "type": "object",
    "description": "One event of the stream.",
    "properties": {
        "event": {"type": "string", "enum": ["start", "reset", *get_args(EventKind)]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "description": "Where to go on; not every event has one."},
        "retry": {"type": "integer", "description": "After how many milliseconds to come back."},
    },
    "required": ["event", "data"],
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {EventStream.media_type: {"schema": _EVENT}}, "description": "Events, without an end."}
}

router = resource("events", "/events")


@router.get("", summary="What changes, live", response_class=StreamingResponse, responses=_STREAM | problems(422))
async def follow(
    caller: ViewerDep,
    ask_sites: SitesNowDep,
    centre: CentreDep,
    query: Annotated[EventQuery, Query()],
    last_event_id: Annotated[
        str | None,
        Header(max_length=200, description="Of the last event that was told: goes on behind it. Browsers send it."),
    ] = None,
) -> EventStream:
    """Server-sent events with what has changed, each thing as it is then; not each of its changes.

    - `start`: this stream tells what changes from now on (`{"at": …}`); read lists after it, and miss nothing.
    - `reset`: the stream cannot go on where it was, because the store was restored: as `start`.
    - `engine`: an engine as `GET /engines` lists it, after a new row or prediction, or because it was registered,
      edited, installed or removed.
    - `gateway`: a gateway as `GET /gateways` lists it, after a status message, or when it has fallen silent.
    - `quarantine`: messages that were set aside, or refused again: `site`, `gateway`, `engine`, how many `messages`,
      and the `latest_id` of them.
    - `alarm`: an alarm as `GET /alarms` lists it, when it was raised or cleared, or somebody did something about it.
    - `work_order`: a work order as `GET /work-orders` lists it, when it was opened or anything became of it.

    A stream that breaks off goes on with `Last-Event-ID`, at any aggregator over the same store and however much later:
    each thing that has changed meanwhile is told once, as it is by then. Something may be told twice. The stream ends
    when the credentials do, and when it is read too slowly.
    """
    wanted = Wanted(frozenset(query.kind), query.site, query.engine)
    return EventStream(centre.feed, caller.name, centre.feed.follow(wanted, ask_sites, last_event_id))
