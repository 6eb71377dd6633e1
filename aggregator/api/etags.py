"""Entity tags (RFC 9110): which version of a thing an answer shows, and which one a request may change."""

from hashlib import blake2b
from typing import Annotated

from fastapi import Header, Response

from aggregator.store.tables import Table
from aggregator.store.versions import version_of

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="`ETag` of the answer that you have seen: the change is refused (412) if somebody edited it since.",
    ),
]
ETAG = {"ETag": {"description": "Names this version of what can be edited.", "schema": {"type": "string"}}}


def seen_versions(if_match: str | None) -> frozenset[str] | None:
    """The versions that a request may change; None where it does not say, or says any (``*``).

    >>> sorted(seen_versions('"a1", "b2-77", W/"c3"'))
    ['a1', 'b2']
    >>> seen_versions("*") is seen_versions(None) is None
    True
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (tag.strip() for tag in if_match.split(","))
    # A weak tag matches nothing here: the comparison is to be strong.
    return frozenset(tag.strip('"').partition("-")[0] for tag in tags if not tag.startswith("W/"))


def tag(response: Response, row: Table) -> None:
    """Say which version of what can be edited an answer shows, whatever was measured beside it."""
    response.headers["ETag"] = f'"{version_of(row)}"'


def of_content(version: str | None, body: bytes) -> str:
    """The tag of a whole answer: of its content and, before that, of the version that it shows, if it names one.

    >>> of_content(None, b"{}")
    'W/"01e7b720ff566d53"'
    >>> of_content('"a1"', b"{}")
    '"a1-01e7b720ff566d53"'
    """
    content = blake2b(body, digest_size=8).hexdigest()
    return f'W/"{content}"' if version is None else f'"{version.strip(chr(34))}-{content}"'
