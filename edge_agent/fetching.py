"""Answers a command that asks for raw samples: a piece at a time, so that live data goes first."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from edge_agent.ring import Ring
from shared.messages import FetchSamples, SampleChunk
from shared.rows import Sample

CHUNK_MAX_BYTES = 32 * 1024
# Bounds of what they take as JSON: the rest of a reply, a line without its values, and a value.
_FRAME_BYTES, _LINE_BYTES, _VALUE_BYTES, _NAME_BYTES = 600, 60, 26, 4


def chunks(ring: Ring, order: FetchSamples, room_bytes: Callable[[], int]) -> Iterator[SampleChunk | None]:
    """The parts of the answer, in order; None after a piece of work that gave none.

    Args:
        ring: where samples are kept.
        order: which ones.
        room_bytes: how large a reply may be at the moment.

    Raises:
        OutboxError: the ring cannot be read.
    """
    waiting: list[Sample] = []
    names: set[str] = set()
    part, left, is_cut = 1, order.limit, False
    for found in ring.between(order.engine, order.since, order.until):
        for _, sample in found:
            if left == 0:
                is_cut = True
                break
            names |= sample.channels.keys()
            if waiting and _size_bytes(names, len(waiting) + 1) > min(CHUNK_MAX_BYTES, room_bytes()):
                yield _chunk(order, part, waiting)
                waiting, names, part = [], set(sample.channels), part + 1
            waiting.append(sample)
            left -= 1
        if is_cut:
            break
        yield None
    last = _chunk(order, part, waiting)
    yield replace(last, is_last=True, is_cut=is_cut, oldest_at=ring.oldest_at(order.engine))


def _size_bytes(names: set[str], lines: int) -> int:
    line_bytes = _LINE_BYTES + _VALUE_BYTES * len(names)
    return _FRAME_BYTES + sum(len(name.encode()) + _NAME_BYTES for name in names) + line_bytes * lines


def _chunk(order: FetchSamples, part: int, samples: list[Sample]) -> SampleChunk:
    names = sorted({name for one in samples for name in one.channels})
    lines = [(one.observed_at, one.cycle, [one.channels.get(name) for name in names]) for one in samples]
    return SampleChunk(engine=order.engine, part=part, is_last=False, channels=names, lines=lines)
