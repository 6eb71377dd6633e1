"""Cursor pages: an opaque place to go on from, in the answer and as a Link header (RFC 8288)."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from aggregator.api.problems import invalid
from aggregator.api.selection import FieldsQuery, Item

Place = TypeVar("Place")
Read = TypeVar("Read")


class Page(BaseModel, Generic[Item]):
    """Part of a list."""

    items: list[Item]
    next: str | None = Field(
        description="The `cursor` of the next page, also in the Link header; null on the last page."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """A page of some items is described as a page is, unless it has a description of its own."""
        cls.__doc__ = cls.__doc__ or Page.__doc__


class PageQuery(FieldsQuery[Item], Generic[Item]):
    """What every list takes, of its items: ``PageQuery[Engine]``."""

    limit: int = Field(default=100, ge=1, le=500, description="How many items at most.")
    cursor: str | None = Field(
        default=None, max_length=500, description="`next` of the page before; keep the other parameters."
    )


def place_of(cursor: str | None, place: TypeAdapter[Place]) -> Place | None:
    """Decode a cursor to the place it stands for.

    Raises:
        RequestValidationError: it is not one that this list gave.
    """
    if cursor is None:
        return None
    try:
        padding = "=" * (-len(cursor) % 4)
        return place.validate_json(base64.b64decode(cursor + padding, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, ValidationError):
        raise invalid("query.cursor", "not a cursor of this list; leave it out to start over") from None


def cursor_of(place: Any) -> str:
    """Encode a place; the inverse of ``place_of``."""
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def take(rows: Sequence[Read], limit: int) -> tuple[Sequence[Read], Read | None]:
    """Of ``limit + 1`` rows keep ``limit``, and the last of these where there are more to come."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], rows[limit - 1]


def written_page(request: Request, page: Mapping[str, Any]) -> Response:
    """The answer for a page that is made of plain values, with its Link header; the route says which model it is."""
    answer = Response(msgspec.json.encode(page), media_type="application/json")
    link_next(request, answer, page["next"])
    return answer


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Announce the next page, if there is one, in the Link header."""
    if cursor is not None:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
