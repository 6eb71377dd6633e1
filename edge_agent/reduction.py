"""Samples → the ring → cycle rows, for all engines of this gateway; what is in work survives in the ring."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import structlog

from edge_agent.cycle_settings import CycleSettings
from edge_agent.ring import Ring
from shared.cycles import EngineCycles, Place
from shared.reduce import ChannelRule
from shared.rows import Sample, SensorRow

# Longer between two batches, and the hardware was out of reach for a while: silence then tells nothing.
BATCH_PAUSE_S = 5.0
REPEATED_SAMPLES = 2000

log = structlog.get_logger(__name__)


class Reduction:
    """Makes cycle rows of samples.

    Args:
        settings: what tells cycles apart.
        channels: how each channel is judged and reduced.
        engines: serials of this gateway's engines.
        ring: where samples become durable.
        stored_place: where an engine's cycles were, as it was last accepted.
        monotonic_s: a clock that only goes forward, in seconds.

    Attributes:
        quiet_s: after so many seconds of silence the row of an engine's cycle is given out.
        dropped_samples: how many were given up because the ring or the disk was full.
    """

    def __init__(
        self,
        settings: CycleSettings,
        channels: Sequence[ChannelRule],
        engines: Iterable[str],
        ring: Ring,
        stored_place: Callable[[str], bytes | None],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self.quiet_s = settings.quiet_s
        self._monotonic_s = monotonic_s
        self._batch_at_s = monotonic_s()
        places = {serial: _place(serial, stored_place(serial)) for serial in engines}
        ring.begin_behind(max((place.sample_id for place in places.values()), default=0))
        self._engines = {
            serial: EngineCycles(
                serial, settings.rule, channels, place, lost=ring.is_lost_after(place.sample_id, serial)
            )
            for serial, place in places.items()
        }
        self._silent_s = dict.fromkeys(self._engines, 0.0)
        self._waiting: list[Sample] = []
        self.dropped_samples = ring.dropped

    def built_up_again(self) -> Iterator[list[SensorRow]]:
        """Take what the ring has after each engine's place, some at a time; gives rows that were not accepted yet.

        What a source gives again after a crash may be from before that.
        """
        first_id = min((one.place.sample_id for one in self._engines.values()), default=0)
        starts = {serial: one.place.sample_id for serial, one in self._engines.items()}
        for samples in self._ring.after(max(0, first_id - REPEATED_SAMPLES)):
            rows: list[SensorRow] = []
            for sample_id, sample in samples:
                cycles = self._engines.get(sample.engine)
                if cycles is not None and sample_id <= starts[sample.engine]:
                    cycles.remember(sample.observed_at)
                elif cycles is not None:
                    rows += cycles.take(sample_id, sample)
            yield rows

    def take(self, sample: Sample) -> list[SensorRow]:
        """Take one sample of an engine of this gateway; it is durable after the next ``commit``."""
        sample_id = self._ring.next_id + len(self._waiting)
        self._waiting.append(sample)
        self._silent_s[sample.engine] = 0.0
        return self._engines[sample.engine].take(sample_id, sample)

    def commit(self) -> None:
        """Make all samples durable that were taken.

        Raises:
            OutboxError: they are not; call it again.
        """
        if self._waiting:
            while self._waiting:
                del self._waiting[: self._ring.append(self._waiting)]
            self.dropped_samples = self._ring.dropped

    def fallen_silent(self) -> list[SensorRow]:
        """The rows of engines of which nothing came for the quiet time; call it at each batch, also at empty ones."""
        now_s = self._monotonic_s()
        passed_s, self._batch_at_s = now_s - self._batch_at_s, now_s
        if passed_s > BATCH_PAUSE_S:
            return []
        rows: list[SensorRow] = []
        for serial, cycles in self._engines.items():
            self._silent_s[serial] += passed_s
            if self._silent_s[serial] >= self.quiet_s and not cycles.is_idle:
                rows += cycles.close()
        return rows

    def places(self, serials: Iterable[str]) -> Mapping[str, bytes]:
        """Where the cycles of some engines are, to be accepted with their rows."""
        return {serial: msgspec.json.encode(self._engines[serial].place) for serial in serials}


def _place(serial: str, stored: bytes | None) -> Place:
    """A stored place; one that cannot be read is none, and what the ring has is taken again from its start."""
    if stored is None:
        return Place()
    try:
        return msgspec.json.decode(stored, type=Place)
    except msgspec.DecodeError as error:
        log.warning("cycle_place_lost", engine=serial, reason=str(error))
        return Place()
