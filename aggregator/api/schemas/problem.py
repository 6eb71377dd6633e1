"""The one shape of every error: RFC 9457 problem details."""

from pydantic import BaseModel, Field


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(description="Where it is, such as `query.limit` or `body.serial`.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Problem details (RFC 9457), sent as `application/problem+json`."""

    type: str = Field(default="about:blank", description="`about:blank`: the status says it all.")
    title: str = Field(description="The meaning of the status.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened and what to do about it.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="Each thing that is wrong with the request; only with status 422."
    )
    retry_after_s: int | None = Field(
        default=None,
        description="After how many seconds to try again, as the header `Retry-After`; for one of a batch, only here.",
    )
