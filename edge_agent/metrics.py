"""What Prometheus reads of the agent, on loopback: the status that the agent wrote last, in numbers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from edge_agent.status import EngineView, LocalStatus
from shared.messages import OutboxStatus, SourceStatus, Status

HOST = "127.0.0.1"
SOURCE_STATES = ("waiting", "reading", "ended", "failed")

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serving(port: int, told: Callable[[], LocalStatus | None]) -> AsyncIterator[None]:
    """Answer on this port of 127.0.0.1, from threads of its own, as long as the context lasts.

    A port that somebody else has is told in the log and stops nothing: engines matter more than their numbers.

    Args:
        port: TCP port.
        told: the last status, None before there is one; asked from any thread.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(told))
    try:
        server, thread = await asyncio.to_thread(start_http_server, port, HOST, registry)
    except OSError as error:
        reason = f"metrics.port: {HOST}:{port} cannot be had: {error.strerror}; name another and reload"
        log.warning("metrics_not_served", reason=reason)
        yield
        return
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


class AgentCollector(Collector):
    """Turns the last status into metrics; what is not known has no sample.

    Args:
        told: the last status, None before there is one.
    """

    def __init__(self, told: Callable[[], LocalStatus | None]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        """All metrics, as of the last status."""
        told = self._told()
        if told is None:
            return
        yield _info(told.status)
        yield _gauge("status_timestamp_seconds", "When all this was so.", told.written_at.timestamp())
        yield from _source(told.status.source)
        yield _counter("predictions", "Predictions made since the start of the agent.", told.predictions)
        yield from _outbox(told.status.outbox)
        yield _gauge("link_up", "Whether the broker lets the agent in.", told.is_up)
        if told.clock_skew_s is not None:
            yield _gauge("clock_skew_seconds", "How far this box is ahead of the centre.", told.clock_skew_s)
        if (traffic := told.status.traffic) is not None:
            yield _counter("sent_bytes", "Topics and payloads sent to the centre.", traffic.sent_bytes)
            yield _counter("received_bytes", "Topics and payloads received from the centre.", traffic.received_bytes)
        if (budget := told.status.budget) is not None:
            yield _gauge("budget_bytes", "Bytes that may go in a day.", budget.day_bytes)
            yield _gauge("budget_spent_bytes", "Bytes of it that are spent today.", budget.spent_bytes)
        yield _engines(told.engines)


def _info(status: Status) -> Metric:
    model = {} if status.model is None else {"model": status.model.name, "model_version": status.model.version}
    labels = {"version": status.agent_version, "source": status.source.kind} | model
    return InfoMetricFamily("spoolwatch_agent", "The agent, its source and its model.", labels)


def _source(source: SourceStatus) -> Iterator[Metric]:
    yield _counter("rows", "Rows accepted since the start of the agent.", source.rows)
    yield _counter("refused_rows", "Rows set aside as unusable, with those of earlier starts.", source.refused_rows)
    yield _counter("samples", "Samples taken since the start of the agent.", source.samples)
    if source.last_row_at is not None:
        yield _gauge("last_row_timestamp_seconds", "When the last row came.", source.last_row_at.timestamp())
    states = _gauge("source_state", "1 for the state that the source is in.", labels=["state"])
    for state in SOURCE_STATES:
        states.add_metric([state], state == source.state)
    yield states


def _outbox(outbox: OutboxStatus) -> Iterator[Metric]:
    yield _gauge("outbox_records", "Records that wait for the centre.", outbox.unacked)
    yield _gauge("outbox_bytes", "Bytes that cannot be given up without a loss.", outbox.used_bytes)
    yield _gauge("outbox_capacity_bytes", "Bytes that the outbox may hold.", outbox.capacity_bytes)
    if outbox.hours_left is not None:
        yield _gauge("outbox_left_seconds", "For how long it does without the centre.", outbox.hours_left * 3600)
    yield _gauge("parked_records", "Records that get no answer even alone.", outbox.parked)
    yield _counter("dropped_records", "Records given up because outbox or disk were full.", outbox.dropped)
    yield _counter("dead_letters", "Records that the centre has set aside.", outbox.dead_letters)


def _engines(engines: list[EngineView]) -> Metric:
    rul = _gauge("rul_cycles", "Remaining useful life after the latest row.", labels=["engine", "quantile"])
    for engine in engines:
        if engine.rul_cycles is not None:
            for quantile, cycles in (
                ("0.05", engine.rul_cycles.q05),
                ("0.5", engine.rul_cycles.q50),
                ("0.95", engine.rul_cycles.q95),
            ):
                rul.add_metric([engine.serial, quantile], cycles)
    return rul


def _gauge(
    name: str, documentation: str, value: float | None = None, labels: list[str] | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"spoolwatch_agent_{name}", documentation, value, labels)


def _counter(name: str, documentation: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"spoolwatch_agent_{name}", documentation, value)
