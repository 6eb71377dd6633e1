"""What is asked of gateways, and what became of it."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from aggregator.api.schemas.names import AwareUtc, Name
from aggregator.store.commands import State, state_of
from aggregator.store.samples import Fetched
from aggregator.store.tables import GatewayCommand
from shared.messages import RESEND_RANGES_MAX, SAMPLES_MAX

Seq = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]


class Resend(BaseModel):
    """Records of a gateway's stream are to be sent again; what the centre has already changes nothing."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["resend"]
    ranges: list[tuple[Seq, Seq]] = Field(
        min_length=1,
        max_length=RESEND_RANGES_MAX,
        description="First and last seq of each range, inclusive.",
        examples=[[[101, 180]]],
    )
    stream_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00]+$",
        description="Null: the gateway's present stream.",
    )


class RestartSource(BaseModel):
    """The gateway's sensor source is to be closed and opened anew, where reading goes on."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["restart_source"]


class FetchSamples(BaseModel):
    """Raw samples of an engine are wanted, as far as the gateway still keeps them."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["fetch_samples"]
    engine: Name
    since: AwareUtc = Field(description="When the first one was observed.")
    until: AwareUtc = Field(description="When the last one was, inclusive.")
    limit: int = Field(default=SAMPLES_MAX, strict=True, ge=1, le=SAMPLES_MAX, description="How many at most.")


class CommandQuery(BaseModel):
    """How long who sends a command waits for what comes of it."""

    model_config = ConfigDict(extra="forbid")

    wait_s: float = Field(default=0, ge=0, le=30, description="How long to wait for the gateway's answer, in seconds.")


NewCommand = Annotated[Resend | RestartSource | FetchSamples, Field(discriminator="action")]


class CommandSamples(BaseModel):
    """How many of the raw samples that were asked for have come; the samples are at `…/commands/{id}/samples.csv`."""

    samples: int = Field(description="How many are here.")
    is_whole: bool = Field(description="Whether all have come that the gateway sends; a lost part comes only if asked.")
    is_cut: bool | None = Field(description="Whether there are more than `limit`; null while that is not known.")
    oldest_at: datetime | None = Field(
        description="Since when the gateway keeps samples of this engine; null while that is not known."
    )

    @classmethod
    def of(cls, fetched: Fetched) -> Self:
        """Show how much has come."""
        return cls.model_validate(fetched, from_attributes=True)


class Command(BaseModel):
    """One command to a gateway, and what became of it."""

    id: str
    gateway: Name
    action: str = Field(examples=["resend", "restart_source", "fetch_samples", "predict"])
    engine: str | None = Field(description="The engine that it is about, where it is about one.")
    stream_id: str | None = None
    ranges: list[tuple[int, int]] | None = Field(
        default=None, description="What was to be sent again: first and last seq."
    )
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = Field(default=None, description="How many samples at most.")
    issued_at: datetime
    expires_at: datetime = Field(description="Until when the gateway may begin with it.")
    state: State = Field(description="`expired`: the gateway did not answer in time; a late answer counts still.")
    reason: str | None = Field(description="Why the gateway refused.")
    answered_at: datetime | None = Field(description="When the centre first heard of it.")
    unavailable: list[tuple[int, int]] | None = Field(
        description="Of what was to be sent again, the seqs that the gateway no longer has."
    )
    samples: CommandSamples | None = Field(description="Of what was fetched; they are kept for a week.")

    @classmethod
    def of(cls, command: GatewayCommand, gateway: str, now: datetime, fetched: Fetched | None = None) -> Self:
        """Show a command of the store."""
        asked = command.asked
        action = asked["action"]
        return cls(
            id=command.id,
            gateway=gateway,
            action="resend" if action == "send_again" else action,
            engine=asked.get("engine"),
            stream_id=asked.get("stream_id"),
            ranges=asked.get("ranges"),
            since=asked.get("since"),
            until=asked.get("until"),
            limit=asked.get("limit"),
            issued_at=command.issued_at,
            expires_at=command.expires_at,
            state=state_of(command, now),
            reason=command.reason,
            answered_at=command.answered_at,
            unavailable=command.unavailable,
            samples=None if fetched is None else CommandSamples.of(fetched),
        )
