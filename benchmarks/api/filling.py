"""Fills a store with a fleet that has flown for long: millions of records in minutes.

Each statement lets the database itself write one cycle of every engine, in the order of time, as ingest would have. Not
filled are streams and the ledger of receipts, which no read of the API looks at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import JSON, Connection, Integer, LargeBinary, TextClause, bindparam, insert, text

from aggregator.store.database import Store
from aggregator.store.partitions import make_partitions
from aggregator.store.tables import Engine, Gateway, Installation, Model, UtcDateTime, core
from aggregator.store.taken_cycles import BLOCK_CYCLES

SITES = 20
ENGINES_PER_GATEWAY = 10
CYCLE_INTERVAL = timedelta(hours=8)
CYCLES_PER_COMMIT = 10
CHANNELS = [f"S{number:02}" for number in range(1, 25)]

_ROW = {channel: 100.5 + number for number, channel in enumerate(CHANNELS)}
_RUL = "(engine_id * 37 % 10000) * 0.02 * (1 + 20.0 / :cycle)"  # from used up to as new, falling with time
_QUANTILES = f"{_RUL} - 1, {_RUL} - 15, {_RUL}, {_RUL} + 15, 125.0"
_FROM_INSTALLATION = "FROM installation ORDER BY engine_id"
_TYPES = {"cycle": Integer(), "at": UtcDateTime(), "channels": JSON(), "input": LargeBinary()}


def _typed(statement: str) -> TextClause:
    """A statement whose parameters each database takes as what they are."""
    names = [name for name in _TYPES if f":{name}" in statement]
    return text(statement).bindparams(*(bindparam(name, type_=_TYPES[name]) for name in names))


_PREDICTION = _typed(
    "INSERT INTO prediction (engine_id, installation_id, cycle, observed_at, predicted_at, received_at, "
    "rul_mean_cycles, rul_q05_cycles, rul_q50_cycles, rul_q95_cycles, cap_cycles, model_id, runtime, "
    "window_first_cycle, window_last_cycle, window_rows, flags, input, origin, request_id, stream, seq) "
    f"SELECT engine_id, id, :cycle, :at, :at, :at, {_QUANTILES}, 1, 'tflite-runtime 2.14.0', "
    f"1, :cycle, 30, '{{}}', :input, 'edge', '', 1, 2 * :cycle {_FROM_INSTALLATION}"
)
_TELEMETRY = _typed(
    "INSERT INTO telemetry (engine_id, installation_id, cycle, observed_at, received_at, clock_unsynced, channels, "
    "flags, stream, seq) "
    f"SELECT engine_id, id, :cycle, :at, :at, false, :channels, '{{}}', 1, 2 * :cycle - 1 {_FROM_INSTALLATION}"
)
_TAKEN = text(
    "INSERT INTO taken_cycles (engine_id, installation_id, model_id, origin, request_id, block, cycles) "
    f"SELECT engine_id, id, :model_id, :origin, '', :block, :cycles {_FROM_INSTALLATION}"
)
_CURRENT = _typed(
    "INSERT INTO current_state (engine_id, installation_id, gateway_id, telemetry_stream_ordinal, telemetry_seq, "
    "telemetry_cycle, telemetry_observed_at, telemetry_received_at, clock_unsynced, channels, telemetry_flags, "
    "cycles_per_day, prediction_stream_ordinal, prediction_seq, prediction_cycle, prediction_observed_at, "
    "predicted_at, prediction_received_at, rul_mean_cycles, rul_q05_cycles, rul_q50_cycles, rul_q95_cycles, "
    "cap_cycles, model_id, prediction_flags) "
    "SELECT engine_id, id, gateway_id, 1, 2 * :cycle - 1, :cycle, :at, :at, false, :channels, '{}', 3.0, "
    f"1, 2 * :cycle, :cycle, :at, :at, :at, {_QUANTILES}, 1, '{{}}' {_FROM_INSTALLATION}"
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """How much there is to be.

    Attributes:
        engines: how many, ten to a gateway, over 20 sites.
        predictions: how many, the same number of each engine.
        telemetry: how many rows, of the last cycles of each engine.
    """

    engines: int
    predictions: int
    telemetry: int

    @property
    def cycles(self) -> int:
        return self.predictions // self.engines


def serial_of(number: int) -> str:
    """The serial of an engine, counted from 0."""
    return f"ESN-{number:06}"


def fill(store: Store, fleet: Fleet, now: datetime) -> None:
    """Fill a store that is migrated and empty; the last cycle was received at ``now``."""
    began = now - fleet.cycles * CYCLE_INTERVAL
    month = began
    while month < now:
        make_partitions(store, month)
        month += timedelta(days=100)
    with store.writing() as connection:
        _register(connection, fleet, began)
    cycles = range(1, fleet.cycles + 1)
    for first in cycles[::CYCLES_PER_COMMIT]:
        with store.writing() as connection:
            for cycle in range(first, min(first + CYCLES_PER_COMMIT, fleet.cycles + 1)):
                _record(connection, fleet, cycle, began + cycle * CYCLE_INTERVAL)
    with store.writing() as connection:
        _take(connection, 1, "edge", cycles)
        _take(connection, 0, "", cycles[fleet.cycles - fleet.telemetry // fleet.engines :])
        connection.execute(_CURRENT, {"cycle": fleet.cycles, "at": now, "channels": _ROW})
    with store.engine.connect() as connection:
        if not store.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("ANALYZE"))
        connection.commit()


def _register(connection: Connection, fleet: Fleet, at: datetime) -> None:
    connection.execute(insert(core(Model)), [{"name": "turbofan", "version": "1.1.0", "sha256": "ab" * 32}])
    gateways = range(1, -(-fleet.engines // ENGINES_PER_GATEWAY) + 1)
    connection.execute(
        insert(core(Gateway)),
        [
            {"id": number, "name": f"gw-{number:05}", "site": _site(number), "event": "heartbeat"}
            | {"received_at": at + fleet.cycles * CYCLE_INTERVAL, "heartbeat_interval_s": 3600.0}
            for number in gateways
        ],
    )
    engines = [(number, number // ENGINES_PER_GATEWAY + 1) for number in range(fleet.engines)]
    connection.execute(
        insert(core(Engine)),
        [
            {"id": number + 1, "serial": serial_of(number), "site": _site(gateway), "registered_at": at}
            | {"type": "turbofan", "status": "operational"}
            for number, gateway in engines
        ],
    )
    connection.execute(
        insert(core(Installation)),
        [
            {"id": f"00000000-0000-4000-8000-{number:012}", "engine_id": number + 1, "gateway_id": gateway}
            | {"position": str(number % ENGINES_PER_GATEWAY), "installed_from": at}
            for number, gateway in engines
        ],
    )


def _site(gateway: int) -> str:
    return f"site-{gateway % SITES:02}"


def _record(connection: Connection, fleet: Fleet, cycle: int, at: datetime) -> None:
    when = {"cycle": cycle, "at": at}
    if cycle > fleet.cycles - fleet.telemetry // fleet.engines:
        connection.execute(_TELEMETRY, when | {"channels": _ROW})
    connection.execute(_PREDICTION, when | {"input": bytes(150)})


def _take(connection: Connection, model_id: int, origin: str, cycles: range) -> None:
    blocks: dict[int, int] = {}
    for cycle in cycles:
        block, bit = divmod(cycle, BLOCK_CYCLES)
        blocks[block] = blocks.get(block, 0) | 1 << bit
    for block, bits in blocks.items():
        line = {"model_id": model_id, "origin": origin}
        connection.execute(_TAKEN, line | {"block": block, "cycles": bits})
