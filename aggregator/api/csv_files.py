"""Answers as CSV, written as they are read from the store: for spreadsheets, however long they are."""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from fastapi.responses import StreamingResponse

Line = Sequence[Any]

CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "Times are RFC 3339 in UTC."}
}
"""The ``responses`` of a route that answers so."""


def columns_of(there_are: Sequence[str], wanted: Collection[str] | None) -> list[str]:
    """Those of the columns that are wanted, in their own order."""
    return [column for column in there_are if wanted is None or column in wanted]


def values_of(row: object, columns: Iterable[str]) -> Line:
    """The values of a row in some columns."""
    values = [getattr(row, column) for column in columns]
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def respond(portions: Iterable[list[Line]], name: str) -> StreamingResponse:
    """Answer with a file of this name, a portion of lines at a time."""
    return StreamingResponse(
        map(_as_csv, portions),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def harmless(text: str) -> str:
    """A text of a gateway, which no spreadsheet may take for a formula.

    >>> harmless("=1+1"), harmless("T24")
    ("'=1+1", 'T24')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _as_csv(lines: list[Line]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()
