"""Composition root of the agent: builds its parts from the settings and runs its two loops."""

import asyncio
import fcntl
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog

from edge_agent.budget import Budget
from edge_agent.delivery import Delivery, subscriptions
from edge_agent.desired import Desired
from edge_agent.modbus_settings import ModbusRtuSource, ModbusTcpSource
from edge_agent.mqtt import LinkOptions, MqttLink, Outgoing
from edge_agent.opcua_settings import OPCUA_MISSING, OpcUaSource
from edge_agent.outbox import Outbox
from edge_agent.pipeline import Pipeline
from edge_agent.ports import SensorSource
from edge_agent.reduction import Reduction
from edge_agent.renewal import renewal_of
from edge_agent.ring import Ring
from edge_agent.serial_settings import SerialSource
from edge_agent.settings import AgentSettings, FileSource, MqttSource, TcpSource
from edge_agent.status import LOCK_FILE, OUTBOX_FILE, RING_FILE, LinkView, SourceGauge, StatusBoard
from edge_agent.troubles import Trouble
from edge_agent.watchdog import Watchdog
from shared.errors import SettingsError, SpoolwatchError
from shared.messages import encode
from shared.predictor import Predictor, find_bundle, load_bundle
from shared.reduce import channel_rules
from shared.topics import GatewayTopic

LOOK_INTERVAL_S = 2.0
LOCK_TRIES = 5
LOCK_PAUSE_S = 0.1

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def run(
    settings: AgentSettings,
    reload: Callable[[], AgentSettings],
    *,
    now: Callable[[], datetime] = utc_now,
    troubles: Callable[[], Sequence[Trouble]] = tuple,
) -> None:
    """Run the agent until SIGTERM or SIGINT; at SIGHUP it ends what it does and goes on with the settings of then.

    Args:
        settings: what to begin with.
        reload: reads the settings anew, and raises ``SettingsError`` where they cannot work: then the old ones stay.
        now: the clock, aware UTC.
        troubles: what was last warned of, for the status.

    Raises:
        SpoolwatchError: the agent cannot start: no usable bundle, outbox or data folder.
    """
    orders = Orders(reload)
    present: AgentSettings | None = settings
    while present is not None:
        present = await _run_with(present, orders, now, troubles)


async def _run_with(
    settings: AgentSettings, orders: "Orders", now: Callable[[], datetime], troubles: Callable[[], Sequence[Trouble]]
) -> AgentSettings | None:
    async with _only_agent(settings.data_dir):
        outbox = Outbox(settings.data_dir / OUTBOX_FILE, settings=settings.outbox, now=now)
        try:
            ring = Ring(
                settings.data_dir / RING_FILE,
                max_bytes=settings.ring.max_bytes,
                disk_reserve_bytes=settings.outbox.disk_reserve_bytes,
                now=now,
            )
            with closing(ring):
                return await _run(settings, outbox, ring, orders, now, troubles)
        finally:
            outbox.close()


async def _run(
    settings: AgentSettings,
    outbox: Outbox,
    ring: Ring,
    orders: "Orders",
    now: Callable[[], datetime],
    troubles: Callable[[], Sequence[Trouble]],
) -> AgentSettings | None:
    predictor = load_bundle(
        find_bundle(settings.model), runtime=settings.runtime, trusted_cache=settings.data_dir / "trusted-models.txt"
    )
    source = build_source(settings, now)
    serials = [engine.serial for engine in settings.engines]
    gauge = SourceGauge(source.kind, outbox.refused_rows())
    watchdog = Watchdog("sense", "deliver")
    board = StatusBoard(
        outbox,
        outbox.begin_session(),
        serials,
        predictor.model_ref,
        settings.delivery.heartbeat_interval_s,
        source=gauge,
        now=now,
        latest=lambda: pipeline.latest(),
        troubles=troubles,
    )
    link = MqttLink(link_options(settings), will=_will(settings, board))
    budget = Budget(
        settings.delivery.daily_budget_bytes,
        settings.data_dir,
        traffic_bytes=lambda: link.sent_bytes + link.received_bytes,
        now_s=lambda: now().timestamp(),
    )
    desired = Desired(settings, outbox)
    pipeline = Pipeline(
        source,
        predictor,
        outbox,
        serials,
        gauge,
        accepted=lambda: delivery.send_waiting(),
        progress=watchdog.beat("sense"),
        now=now,
        commit=settings.outbox,
        reduction=build_reduction(settings, predictor, outbox, ring),
        ring=settings.ring,
        desired=desired.of,
    )
    delivery = Delivery(
        settings,
        outbox,
        link,
        status=board.message,
        budget=budget,
        progress=watchdog.beat("deliver"),
        now_s=lambda: now().timestamp(),
        desired=desired,
        plant=pipeline,
        ring=ring,
    )
    link.open()
    watchdog.ready()
    log.info("agent_started", gateway=settings.gateway, model=predictor.model_ref.name, runtime=predictor.runtime)
    fresh = None
    try:
        renewal = renewal_of(settings, now)
        async with _metrics(settings.metrics.port, board):
            fresh = await _until_told(
                orders,
                *(pipeline.run(), delivery.run(), watchdog.run()),
                _keep_status_file(settings.data_dir, board, delivery),
                *([] if renewal is None else [renewal.run()]),
            )
        return fresh
    finally:
        watchdog.stopping(to_reload=fresh is not None)
        await delivery.say_goodbye()
        await link.close()
        budget.close()
        board.write(settings.data_dir, LinkView(summary="stopped"))
        log.info("agent_stopped" if fresh is None else "agent_reloads")


def build_reduction(settings: AgentSettings, predictor: Predictor, outbox: Outbox, ring: Ring) -> Reduction:
    """What makes cycle rows of samples, for the model that is loaded."""
    limits = {name: one.limits for name, one in settings.limits.items()}
    return Reduction(
        settings.cycle,
        channel_rules(predictor.manifest, limits),
        [engine.serial for engine in settings.engines],
        ring,
        outbox.cycle_place,
    )


def build_source(settings: AgentSettings, now: Callable[[], datetime]) -> SensorSource:
    """The adapter that the settings ask for; its library is loaded only now."""
    match settings.source:
        case FileSource() as file:
            from edge_agent.sources.file import CmapssFile

            return CmapssFile(file, {engine.unit: engine.serial for engine in settings.engines}, now)
        case MqttSource() as mqtt:
            from edge_agent.sources.mqtt import MqttReadings

            return MqttReadings(mqtt, {engine.serial for engine in settings.engines}, now)
        case TcpSource() as tcp:
            from edge_agent.sources.tcp import TcpLines

            return TcpLines(tcp, {engine.serial for engine in settings.engines}, now)
        case SerialSource() as line:
            from edge_agent.sources.serial import SerialLines

            return SerialLines(line, {engine.serial for engine in settings.engines}, now)
        case ModbusTcpSource() | ModbusRtuSource() as modbus:
            from edge_agent.sources.modbus import ModbusDevices

            return ModbusDevices(modbus, {engine.unit: engine.serial for engine in settings.engines}, now)
        case OpcUaSource() as opcua:
            try:
                from edge_agent.sources.opcua import OpcUaNodes
            except ModuleNotFoundError as error:
                raise SettingsError(f"source.kind: {OPCUA_MISSING}") from error

            return OpcUaNodes(opcua, {engine.unit: engine.serial for engine in settings.engines}, now)


def link_options(settings: AgentSettings) -> LinkOptions:
    """How the link to the centre's broker is made.

    Raises:
        SettingsError: the password file cannot be read.
    """
    broker = settings.broker
    return LinkOptions(
        host=broker.host,
        port=broker.tcp_port,
        client_id=settings.gateway,
        version=broker.mqtt_version,
        keepalive_s=broker.keepalive_s,
        username=broker.username,
        password=broker.password(),
        tls=broker.encryption,
        websocket_path=broker.path if broker.transport == "websockets" else None,
        subscriptions=subscriptions(settings),
    )


def _will(settings: AgentSettings, board: StatusBoard) -> Outgoing:
    topic = GatewayTopic(settings.site, settings.gateway, "status")
    return Outgoing(str(topic), encode(board.message("will")), retain=True)


@asynccontextmanager
async def _only_agent(folder: Path) -> AsyncIterator[None]:
    """Hold the data folder for this process; the lock goes with the process, however it ends."""
    lock = _lock_file(folder)
    with lock:
        for _ in range(LOCK_TRIES):
            if _locked(lock):
                break
            # ``spoolwatch-agent status`` holds the lock for an instant to see whether we run.
            await asyncio.sleep(LOCK_PAUSE_S)
        else:
            raise SpoolwatchError(f"another agent is running on {folder}; stop it or set another data_dir")
        yield


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        return (folder / LOCK_FILE).open("w")
    except OSError as error:
        raise SettingsError(f"data_dir {folder}: {error.strerror}") from error


def _locked(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@asynccontextmanager
async def _metrics(port: int | None, board: StatusBoard) -> AsyncIterator[None]:
    if port is None:
        yield
        return
    from edge_agent.metrics import serving

    async with serving(port, lambda: board.told):
        yield


async def _keep_status_file(folder: Path, board: StatusBoard, delivery: Delivery) -> None:
    while True:
        board.keep(folder, delivery.view())
        await asyncio.sleep(LOOK_INTERVAL_S)


class Orders:
    """What signals ask of the agent, in the order in which they came, also while it starts anew.

    Args:
        reload: reads the settings anew.
    """

    def __init__(self, reload: Callable[[], AgentSettings]) -> None:
        self._reload = reload
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        wanted = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            wanted.append(signal.SIGHUP)
        for number in wanted:
            asyncio.get_running_loop().add_signal_handler(number, self._signals.put_nowait, number)

    async def next(self) -> AgentSettings | None:
        """Wait until the agent is to go on with other settings, or is to stop: None."""
        while await self._signals.get() == signal.SIGHUP:
            try:
                return await asyncio.to_thread(self._reload)
            except SettingsError as error:
                log.warning("settings_refused", reason=str(error), instead="those of before stay")
        return None


async def _until_told(orders: Orders, *loops: Coroutine[None, None, None]) -> AgentSettings | None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in loops]
        fresh = await orders.next()
        for task in tasks:
            task.cancel()
    return fresh
