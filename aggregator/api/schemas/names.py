"""The kinds of values that several resources share."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

Name = Annotated[
    str, Field(pattern=NAME_PATTERN, description="1 to 64 letters, digits, `_`, `.` or `-`.", examples=["FD001-7"])
]
Flags = Annotated[
    dict[str, list[str]],
    Field(description="Quality flags per channel, such as `stuck` or `missing`; empty where all is well."),
]


def _not_a_number(given: object) -> object:
    # Pydantic would take it for seconds since 1970.
    if isinstance(given, date) or (isinstance(given, str) and _DAY.match(given)):
        return given
    raise ValueError("write it as RFC 3339 says, like 2026-12-01 or 2026-12-01T00:00:00Z")


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this is before or after all time that there is") from None


AwareUtc = Annotated[AwareDatetime, BeforeValidator(_not_a_number), AfterValidator(_in_utc)]
Day = Annotated[date, BeforeValidator(_not_a_number)]
