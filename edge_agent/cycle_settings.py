"""Settings of how samples become cycle rows, and of the ring that keeps them."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from shared.settings import Section

if TYPE_CHECKING:  # they stand on numpy, which whoever only looks at settings does without
    from shared.cycles import CycleRule
    from shared.reduce import Limits


class CycleSettings(Section):
    """What tells one cycle of an engine from the next, where the source gives samples."""

    by: Literal["counter", "flag", "gap"] = Field(
        "counter",
        description="counter: the hardware counts cycles; flag: a channel is 0.5 or more during a cycle; gap: nothing "
        "comes between two cycles",
    )
    channel: str | None = Field(
        None, min_length=1, description="channel of the flag, or of a counter that the source does not know by itself"
    )
    wraps_at: int | None = Field(
        None, ge=3, description="the counter goes back to 0 instead of reaching this, such as 65536 in 16 bits"
    )
    gap_s: float = Field(
        300.0, gt=0, description="seconds without a sample, by the samples' own time, that end a cycle"
    )
    join_ms: float = Field(
        0.0, ge=0, le=60_000, description="milliseconds within which channels that come apart are one instant"
    )
    quiet_s: float = Field(
        600.0,
        gt=0,
        description="seconds without a sample of an engine, while the hardware is in reach, after which the row of its "
        "cycle is given out; what comes of that cycle later is left out",
    )

    @model_validator(mode="after")
    def _fits(self) -> "CycleSettings":
        if self.by == "flag" and self.channel is None:
            raise ValueError("by flag needs the channel of the flag")
        if self.by == "gap" and self.channel is not None:
            raise ValueError("channel is of no use with by = gap")
        if self.by != "counter" and self.wraps_at is not None:
            raise ValueError("wraps_at is of no use without by = counter")
        return self

    @property
    def rule(self) -> "CycleRule":
        """The same, as the reduction takes it."""
        from shared.cycles import CycleRule

        return CycleRule(self.by, self.channel, self.wraps_at, self.gap_s, self.join_ms / 1000)


class LimitSettings(Section):
    """When a sample of one channel is bad, where this hardware asks for other limits than the model's manifest."""

    spike: float | None = Field(
        None, gt=0, description="how far a sample may stand above or below both its neighbours, in the channel's unit"
    )
    rate_per_s: float | None = Field(
        None, gt=0, description="how much the value may change in a second from one sample to the next"
    )
    stuck_samples: int | None = Field(
        None, ge=0, description="how many equal samples in a row mean that the sensor is stuck; 0 for never"
    )

    @property
    def limits(self) -> "Limits":
        """The same, as the reduction takes it."""
        from shared.reduce import Limits

        return Limits(self.spike, self.rate_per_s, self.stuck_samples)


class RingSettings(Section):
    """How samples become durable, and how many are kept for a crash and for people who ask for them."""

    commit_interval_ms: float = Field(
        1000.0,
        ge=0,
        le=60_000,
        description="milliseconds between two commits of samples at least; a power cut costs a source that cannot wait "
        "for us what it gave in this time",
    )
    max_bytes: int = Field(64 * 2**20, ge=2**20, description="size of the file of samples at most, in bytes")
