"""The kinds of values that several resources share."""

from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

Name = Annotated[
    str, Field(pattern=NAME_PATTERN, description="1 to 64 letters, digits, `_`, `.` or `-`.", examples=["FD001-7"])
]
Flags = Annotated[
    dict[str, list[str]],
    Field(description="Quality flags per channel, such as `stuck` or `missing`; empty where all is well."),
]
