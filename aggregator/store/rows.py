"""Spells placed records as rows of plain values, and writes them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct
from sqlalchemy import Connection

from aggregator.store.bulk import Values, insert_rows, utc_text
from aggregator.store.ledger import Item
from aggregator.store.placements import Placed, Sorted
from shared import messages

_LEDGER = ("stream", "seq", "received_at")
_MEASURED = (*_LEDGER, "engine_id", "installation_id", "cycle", "observed_at", "flags")
_TELEMETRY = (*_MEASURED, "clock_unsynced", "channels", "refusal")
_PREDICTION = (
    *_MEASURED,
    *("predicted_at", "rul_mean_cycles", "rul_q05_cycles", "rul_q50_cycles", "rul_q95_cycles", "cap_cycles"),
    *("model_id", "runtime", "window_first_cycle", "window_last_cycle", "window_rows"),
    *("input", "origin", "request_id"),
)
_GAP = (*_LEDGER, "gap_id", "gateway_id", "ranges", "reason", "noticed_at")


# The records of an envelope share the time of its arrival.
_arrival_text = lru_cache(maxsize=4096)(utc_text)


class _Spelt(Struct):
    """The parts of a record that the store keeps as the JSON text they came in."""

    channels: Raw = Raw(b"{}")
    flags: Raw = Raw(b"{}")


_spelt = msgspec.json.Decoder(_Spelt)


def write_records(connection: Connection, result: Sorted) -> None:
    """Write what is new, each record into the table of its kind."""
    telemetry: list[Values] = []
    predictions: list[Values] = []
    for one in result.placed:
        if one.kind is messages.Telemetry:
            telemetry.extend(_telemetry_rows(one))
        else:
            predictions.extend(_prediction_rows(one))
    insert_rows(connection, "telemetry", _TELEMETRY, telemetry)
    insert_rows(connection, "prediction", _PREDICTION, predictions)
    insert_rows(connection, "gap_record", _GAP, [_gap_row(item, gap) for item, gap in result.gaps])


# What these two do in their loops is done for every record, and is the longer for not taking tuples apart.


def _telemetry_rows(placed: Placed) -> Iterator[Values]:
    stream = placed.stream.id
    engine_id, installation_id = placed.place.engine_id, placed.place.id
    for entry in placed.entries:
        record: Any = entry.record
        spelt = _spelt.decode(entry.body)
        yield (
            stream,
            entry.seq,
            _arrival_text(entry.received_at),
            engine_id,
            installation_id,
            record.cycle,
            utc_text(record.observed_at),
            str(spelt.flags, "utf-8"),
            record.clock_unsynced,
            str(spelt.channels, "utf-8"),
            record.refusal,
        )


def _prediction_rows(placed: Placed) -> Iterator[Values]:
    stream = placed.stream.id
    engine_id, installation_id, model_id = placed.place.engine_id, placed.place.id, placed.model_id
    for entry in placed.entries:
        record: Any = entry.record
        rul, window = record.rul_cycles, record.window
        yield (
            stream,
            entry.seq,
            _arrival_text(entry.received_at),
            engine_id,
            installation_id,
            record.cycle,
            utc_text(record.observed_at),
            _json(record.flags) if record.flags else "{}",
            utc_text(record.predicted_at),
            rul.mean,
            rul.q05,
            rul.q50,
            rul.q95,
            record.cap_cycles,
            model_id,
            record.runtime,
            window.first_cycle,
            window.last_cycle,
            window.rows,
            record.input,
            record.origin,
            record.request_id or "",
        )


def _gap_row(item: Item, gap: messages.Gap) -> Values:
    return (
        *(item.stream.id, item.entry.seq, _arrival_text(item.entry.received_at)),
        *(gap.gap_id, item.stream.gateway_id, _json(gap.ranges), gap.reason, utc_text(gap.noticed_at)),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
