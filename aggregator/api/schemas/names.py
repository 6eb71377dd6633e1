"""The kinds of values that several resources share."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

Name = Annotated[
    str, Field(pattern=NAME_PATTERN, description="1 to 64 letters, digits, `_`, `.` or `-`.", examples=["FD001-7"])
]
Flags = Annotated[
    dict[str, list[str]],
    Field(description="Quality flags per channel, such as `stuck` or `missing`; empty where all is well."),
]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this is before or after all time that there is") from None


AwareUtc = Annotated[AwareDatetime, AfterValidator(_in_utc)]
