"""What alarms are raised on: each kind of condition judges what is seen of an engine or gateway.

Those of records (``RulLow``, ``FastDecline``, ``SensorBad``) judge one record after another, and want so many in a row.
The others judge what is known at a moment, and are looked at again and again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from aggregator.fleet.decline import Fall, least_flown
from aggregator.fleet.due import LEAST_CAUTIOUS, MOST_CAUTIOUS, Doubt, Life, cycles_at, due_date
from aggregator.fleet.durations import in_words
from aggregator.fleet.liveness import LinkState, Signs, liveness_of, silent_from, state_of
from aggregator.fleet.rul import Rul
from shared.quality import CHANNELS, CONTRADICTED, CYCLE, DRIFT, MISSING, OUT_OF_RANGE, STUCK

_UNUSABLE = frozenset({MISSING, OUT_OF_RANGE, STUCK, DRIFT, CONTRADICTED})
_OF_THE_ROW = frozenset({CYCLE, CHANNELS})

Duration = Annotated[float, Field(gt=0, le=400 * 86_400)]
InARow = Annotated[int, Field(strict=True, ge=1, le=100)]


class Verdict(Enum):
    """What a condition says of what is seen; ``BETWEEN`` neither raises an alarm nor clears one."""

    BAD = "bad"
    BETWEEN = "between"
    GOOD = "good"


class Sight(NamedTuple):
    """A verdict, and the one sentence that says what was seen."""

    verdict: Verdict
    reason: str


class _Condition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subject: ClassVar[Literal["engine", "gateway"]] = "engine"


class RulLow(_Condition):
    """Few cycles are left: with at least this probability fewer than so many.

    That the probability of fewer than 20 is at least 5 % says the same as that q05 is below 20.
    """

    kind: Literal["rul_low"] = "rul_low"
    below_cycles: float = Field(gt=0, le=100_000, description="Fewer than these are few.", examples=[20])
    probability: float = Field(
        ge=LEAST_CAUTIOUS,
        le=MOST_CAUTIOUS,
        description="From which probability on; 0.05 goes by q05, 0.5 by the median. Between the three calibrated "
        "quantiles, linear.",
        examples=[0.05],
    )
    margin_cycles: float = Field(default=5, ge=0, le=100_000, description="So many more it takes to clear the alarm.")
    predictions: InARow = Field(default=3, description="So many predictions in a row raise the alarm, or clear it.")

    @property
    def in_a_row(self) -> int:
        """How many records it takes."""
        return self.predictions

    def judge(self, rul: Rul) -> Verdict:
        """Judge one prediction; at the model's cap nobody can say that few are left."""
        cycles = cycles_at(rul, 1 - self.probability)
        if rul.at_cap(cycles) or cycles >= self.below_cycles + self.margin_cycles:
            return Verdict.GOOD
        return Verdict.BAD if cycles < self.below_cycles else Verdict.BETWEEN

    def tell(self, rul: Rul) -> str:
        """Say what a prediction says.

        >>> RulLow(below_cycles=20, probability=0.05).tell(Rul(mean=40, q05=17.25, q50=41, q95=60, cap=125))
        'with a probability of 5 % no more than 17.2 cycles are left; the limit is 20'
        """
        left = rul.clipped(cycles_at(rul, 1 - self.probability))
        return (
            f"with a probability of {self.probability * 100:g} % no more than {left:.1f} cycles are left; "
            f"the limit is {self.below_cycles:g}"
        )


class FastDecline(_Condition):
    """The median falls faster than flying explains, which takes one cycle of remaining life for each that is flown."""

    kind: Literal["fast_decline"] = "fast_decline"
    above_cycles_per_cycle: float = Field(
        default=2.5, gt=1, le=1000, description="More cycles of remaining life than these, for each that is flown."
    )
    margin_cycles_per_cycle: float = Field(
        default=0.5, ge=0, le=1000, description="By so much slower it must fall to clear the alarm."
    )
    over_cycles: int = Field(
        default=30,
        strict=True,
        ge=2,
        le=500,
        description="Looked at over the last so many cycles flown; where predictions lack, over three quarters of them "
        "at least.",
    )
    predictions: InARow = Field(default=3, description="So many predictions in a row raise the alarm, or clear it.")

    @property
    def in_a_row(self) -> int:
        """How many records it takes."""
        return self.predictions

    def may_hold(self, median: float, cap: float) -> bool:
        """Whether a median can have fallen so far at all: it began at the model's cap at most.

        >>> FastDecline(above_cycles_per_cycle=2, over_cycles=20).may_hold(95, cap=125)
        False
        """
        return cap - max(median, 0.0) > self.above_cycles_per_cycle * least_flown(self.over_cycles)

    def judge(self, fall: Fall | None) -> Verdict:
        """Judge how far the median fell; where nobody knows, nothing changes."""
        if fall is None:
            return Verdict.BETWEEN
        if fall.per_cycle > self.above_cycles_per_cycle:
            return Verdict.BAD
        limit = self.above_cycles_per_cycle - self.margin_cycles_per_cycle
        return Verdict.GOOD if fall.per_cycle <= limit else Verdict.BETWEEN

    def tell(self, fall: Fall) -> str:
        """Say how far the median fell.

        >>> FastDecline(above_cycles_per_cycle=2).tell(Fall(50.0, 20, at_least=True))
        'the median fell by at least 50 cycles while 20 were flown; the limit is 2 for each'
        """
        by = f"{'at least ' if fall.at_least else ''}{fall.fell_cycles:.0f} cycles"
        each = f"{self.above_cycles_per_cycle:g} for each"
        return f"the median fell by {by} while {fall.flown_cycles} were flown; the limit is {each}"


class SensorBad(_Condition):
    """In row after row some channel cannot be used: missing, out of range, stuck, drifting or contradicted."""

    kind: Literal["sensor_bad"] = "sensor_bad"
    rows: InARow = Field(default=10, description="So many rows in a row raise the alarm, or clear it.")

    @property
    def in_a_row(self) -> int:
        """How many records it takes."""
        return self.rows

    def judge(self, flags: Mapping[str, Sequence[str]]) -> Verdict:
        """Judge the flags of one row."""
        return Verdict.BAD if flags and _unusable(flags) else Verdict.GOOD

    def tell(self, flags: Mapping[str, Sequence[str]]) -> str:
        """Say what the flags of a row say.

        >>> SensorBad().tell({"T30": ["stuck"], "cycle": ["cycle_gap"]})
        'T30 stuck'
        """
        named = [f"{name} {', '.join(_UNUSABLE.intersection(flags[name]))}" for name in _unusable(flags)]
        return "; ".join(named) or "every channel can be used"


class PredictionStale(_Condition):
    """An engine in operation gives no predictions although its gateway is heard from."""

    kind: Literal["prediction_stale"] = "prediction_stale"
    after_s: Duration = Field(default=86_400, description="After so many seconds without one.")

    def look(self, since: datetime, signs: Signs, now: datetime) -> Sight:
        """Look at when the last prediction came, or else when the engine was installed."""
        if state_of(signs, now) is not LinkState.ONLINE:
            return Sight(Verdict.BETWEEN, "its gateway is not heard from")
        age_s = (now - since).total_seconds()
        reason = f"no prediction for {in_words(age_s)}, though its gateway is heard from"
        return Sight(Verdict.BAD, reason) if age_s >= self.after_s else Sight(Verdict.GOOD, "predictions come")


class DueSoon(_Condition):
    """An engine is due before parts could be there."""

    kind: Literal["due_inside_lead_time"] = "due_inside_lead_time"
    lead_time_s: Duration = Field(default=14 * 86_400, description="How many seconds it takes until parts are there.")
    confidence: float = Field(
        default=0.9,
        ge=LEAST_CAUTIOUS,
        le=MOST_CAUTIOUS,
        description="With which probability an engine is to last until it is due, as of `/fleet/due`.",
    )
    margin_s: float = Field(
        default=86_400, ge=0, le=400 * 86_400, description="So much later it must be due to clear the alarm."
    )

    def look(self, life: Life, now: datetime) -> Sight:
        """Look at when an engine is due; where nobody can tell, nothing changes."""
        due = due_date(life, self.confidence)
        if due is None:
            return Sight(Verdict.BETWEEN, "nobody can tell when it is due")
        reason = f"due on {due.at:%Y-%m-%d}, with a confidence of {self.confidence * 100:g} %"
        if due.at >= now + timedelta(seconds=self.lead_time_s + self.margin_s):
            return Sight(Verdict.GOOD, reason)
        if due.not_before:
            return Sight(Verdict.BETWEEN, Doubt.AT_CAP)
        is_soon = due.at < now + timedelta(seconds=self.lead_time_s)
        return Sight(Verdict.BAD if is_soon else Verdict.BETWEEN, reason)


class GatewayOffline(_Condition):
    """Nothing is heard of a gateway, whatever the reason."""

    subject = "gateway"
    kind: Literal["gateway_offline"] = "gateway_offline"
    after_s: Duration = Field(default=900, description="After so many seconds.")

    def look(self, signs: Signs, now: datetime) -> Sight:
        """Look at what was heard; one that was never heard from is not missed."""
        liveness = liveness_of(signs, now)
        if liveness.state is LinkState.ONLINE:
            return Sight(Verdict.GOOD, liveness.reason)
        since = silent_from(signs)
        if liveness.state is LinkState.OFFLINE and signs.status is not None:
            since = signs.status.received_at
        is_long = since is not None and (now - since).total_seconds() >= self.after_s
        return Sight(Verdict.BAD if is_long else Verdict.BETWEEN, liveness.reason)


class OutboxNearlyFull(_Condition):
    """What a gateway keeps for the centre has nearly filled the room for it: it will have to drop records."""

    subject = "gateway"
    kind: Literal["outbox_nearly_full"] = "outbox_nearly_full"
    above: float = Field(default=0.8, gt=0, le=1, description="Which part of its capacity is too much.")
    margin: float = Field(default=0.1, ge=0, lt=1, description="So much less it must be to clear the alarm.")

    def look(self, used_bytes: int, capacity_bytes: int) -> Sight:
        """Look at what a gateway last said of its outbox."""
        used = used_bytes / capacity_bytes if capacity_bytes else 0.0
        reason = f"{used * 100:.0f} % of its outbox are used"
        if used >= self.above:
            return Sight(Verdict.BAD, reason)
        return Sight(Verdict.GOOD if used <= max(0.0, self.above - self.margin) else Verdict.BETWEEN, reason)


class QuarantineGrowing(_Condition):
    """Much of what a gateway sends cannot be used: it is set aside, and nobody has seen to it."""

    subject = "gateway"
    kind: Literal["quarantine_growing"] = "quarantine_growing"
    above_records: int = Field(
        default=10, strict=True, ge=0, le=1_000_000, description="More messages and records than these are too many."
    )
    margin_records: int = Field(
        default=5, strict=True, ge=0, le=1_000_000, description="So many fewer than that it takes to clear the alarm."
    )
    within_s: Duration = Field(
        default=86_400, description="Counted is what was set aside in the last so many seconds, and is still there."
    )

    def look(self, waiting: int) -> Sight:
        """Look at how many wait that were set aside within that time."""
        reason = f"{waiting} messages and records set aside within {in_words(self.within_s)} wait in the quarantine"
        if waiting > self.above_records:
            return Sight(Verdict.BAD, reason)
        is_over = waiting <= max(0, self.above_records - self.margin_records)
        return Sight(Verdict.GOOD if is_over else Verdict.BETWEEN, reason)


OfRecords = RulLow | FastDecline | SensorBad
Condition = Annotated[
    OfRecords | PredictionStale | DueSoon | GatewayOffline | OutboxNearlyFull | QuarantineGrowing,
    Field(discriminator="kind"),
]
Kind = Literal[
    "rul_low",
    "fast_decline",
    "sensor_bad",
    "prediction_stale",
    "due_inside_lead_time",
    "gateway_offline",
    "outbox_nearly_full",
    "quarantine_growing",
]


def _unusable(flags: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(name for name in flags.keys() - _OF_THE_ROW if not _UNUSABLE.isdisjoint(flags[name]))
