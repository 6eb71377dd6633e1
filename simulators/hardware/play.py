"""Plays the hardware of a few engines over one protocol, at so many samples a second, until stopped."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from shared.errors import SpoolwatchError
from simulators.centre import LOOPBACK
from simulators.hardware.agent_settings import write_settings
from simulators.hardware.engine import EngineHardware, HardwareOptions, Sampled, Shown
from simulators.hardware.line import Line
from simulators.hardware.truth import HardwareTruth, LineTruth
from simulators.signals import StopWish

ProtocolName = Literal["modbus", "opcua", "mqtt", "tcp"]
PORTS: dict[ProtocolName, int] = {"modbus": 5020, "opcua": 4840, "mqtt": 0, "tcp": 7020}
TICK_S = 0.1
# From its first packet to its first reading a client takes a moment, in which nothing shall be missed.
SETTLE_S = 1.0


class Hardware(Protocol):
    """A running server, or a publisher."""

    async def show(self, samples: Sequence[Shown]) -> None:
        """Show samples from now on, or send them."""


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """What is played, and where.

    Attributes:
        speed: samples per second and engine; the hardware itself takes one a second.
        prefix: what the engines' serials start with.
        port: where the line to the hardware begins; None for the usual one, 0 for any.
        broker_port: the loopback broker that MQTT hardware publishes to.
        seconds: stop after so many; None plays until stopped.
        folder: where settings for an agent are written.
        truth: where the truth is written.
    """

    protocol: ProtocolName
    engines: int
    speed: float
    hardware: HardwareOptions
    folder: Path
    truth: Path
    prefix: str = "E"
    port: int | None = None
    broker_port: int = 1883
    seconds: float | None = None


async def play(options: PlayOptions, wish: StopWish, say: Callable[[str], None]) -> None:
    """Serve until somebody wishes to stop.

    Raises:
        SpoolwatchError: a port is taken, a file cannot be written, or there is no broker.
    """
    engines = hardware_engines(options.engines, options.prefix, options.hardware)
    mqtt = options.protocol == "mqtt"
    server_port = options.broker_port if mqtt else _free_port()
    with ExitStack() as opened:
        line = opened.enter_context(_line(options, server_port))
        truth = opened.enter_context(_written(options))
        settings = write_settings(
            options.folder, options.protocol, engines, server_port if mqtt else line.port, options.speed
        )
        # Publishers go along the line, servers stand at its end.
        async with _served(options.protocol, engines, line.port if mqtt else server_port) as hardware:
            say(f"{options.protocol} of {len(engines)} engines; an agent for them: {settings}")
            say(f"  spoolwatch-agent run --config {settings}")
            await _Play(options, engines, hardware, line, truth, wish, say).run()


def hardware_engines(count: int, prefix: str, options: HardwareOptions) -> list[EngineHardware]:
    """The hardware of so many engines, ``<prefix>-01`` and so on."""
    width = max(2, len(str(count)))
    return [EngineHardware(unit, f"{prefix}-{unit:0{width}d}", options) for unit in range(1, count + 1)]


def _line(options: PlayOptions, server_port: int) -> Line:
    port = PORTS[options.protocol] if options.port is None else options.port
    try:
        return Line(server_port, port, options.hardware.plan.link)
    except OSError as error:
        raise SpoolwatchError(f"port {port}: {error.strerror}; choose another with --port") from error


def _written(options: PlayOptions) -> HardwareTruth:
    try:
        for folder in (options.folder, options.truth.parent):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolwatchError(f"cannot write to {options.folder}: {error.strerror}") from error
    return HardwareTruth(options.truth)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _served(
    protocol: ProtocolName, engines: Sequence[EngineHardware], port: int
) -> AbstractAsyncContextManager[Hardware]:
    """The hardware behind a protocol; its library is loaded only now."""
    match protocol:
        case "modbus":
            from simulators.hardware.modbus import modbus_server

            return modbus_server(engines, port)
        case "opcua":
            from simulators.hardware.opcua import opcua_server

            return opcua_server(engines, port)
        case "mqtt":
            from simulators.hardware.json_lines import mqtt_publisher

            return mqtt_publisher(port)
        case "tcp":
            from simulators.hardware.json_lines import line_server

            return line_server(port)


class _Play:
    """The loop of a play: one sample of every engine at a time."""

    def __init__(
        self,
        options: PlayOptions,
        engines: Sequence[EngineHardware],
        hardware: Hardware,
        line: Line,
        truth: HardwareTruth,
        wish: StopWish,
        say: Callable[[str], None],
    ) -> None:
        self._options = options
        self._lives: list[tuple[EngineHardware, Iterator[Sampled]]] = [(one, one.samples()) for one in engines]
        self._hardware = hardware
        self._line = line
        self._truth = truth
        self._wish = wish
        self._say = say
        self._started_s: float | None = None

    async def run(self) -> None:
        """Show the first sample until somebody connects, then play; engines that have failed show their last one."""
        await self._step()  # whoever connects sees the first sample, not registers without anything in them
        await self._rest_until(lambda: self._line.used)
        await self._rest(SETTLE_S)
        self._say("the engines fly; Ctrl-C stops")
        self._started_s = due_s = time.monotonic()
        while self._lives and not self._over:
            await self._step()
            # Who comes late goes on from there: samples in a burst would be missed by whoever polls.
            due_s = max(due_s + 1 / self._options.speed, time.monotonic())
            await self._rest(due_s - time.monotonic())
        if not self._over:
            self._say("every engine has failed; Ctrl-C stops")
        await self._rest_until(lambda: False)

    async def _step(self) -> None:
        samples: list[Shown] = []
        now = datetime.now(UTC)
        for engine, life in list(self._lives):
            sampled = next(life, None)
            if sampled is None:
                self._lives.remove((engine, life))
                continue
            samples.append(Shown(engine, sampled, engine.device_time(sampled.cycle, now)))
        await self._hardware.show(samples)
        for shown in samples:
            if shown.sampled.ends:
                self._truth.append([shown.engine.truth(shown.sampled.cycle, self._options.hardware.flight_s, now)])

    @property
    def _over(self) -> bool:
        limit_s = self._options.seconds
        return self._wish.wanted or (limit_s is not None and self._elapsed_s >= limit_s)

    @property
    def _elapsed_s(self) -> float:
        """Since the engines fly; before that no time passes."""
        return -1.0 if self._started_s is None else time.monotonic() - self._started_s

    async def _rest_until(self, wanted: Callable[[], bool]) -> None:
        while not (wanted() or self._over):
            await self._rest(TICK_S)

    async def _rest(self, seconds: float) -> None:
        """Rest, and look after the line meanwhile."""
        until_s = time.monotonic() + seconds
        while not self._over:
            if self._line.follow(self._elapsed_s):
                self._truth.append([LineTruth(state=self._line.state, at=datetime.now(UTC))])
            left_s = until_s - time.monotonic()
            await asyncio.sleep(max(0.0, min(TICK_S, left_s)))
            if left_s <= TICK_S:
                return
