"""What ``spoolwatch-agent doctor`` finds: one look after the other, from the box outwards, each with what to do."""

import asyncio
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from edge_agent import checks, local
from edge_agent.centre import SKEW_MAX_S, skew_text
from edge_agent.modbus_settings import ModbusTcpSource
from edge_agent.opcua_settings import OpcUaSource
from edge_agent.settings import AgentSettings, MqttSource, TcpSource
from shared.errors import BundleError, SettingsError, SpoolwatchError
from shared.tls import Tls

TIMEOUT_S = 10.0
STATUS_POLL_S = 0.2
STATUS_AGE_MAX = timedelta(seconds=30)
CERTIFICATE_LEFT_MIN = timedelta(days=7)
SESSION_REMEDY = (
    "the broker's log says more; if the certificate was revoked or the password changed, enrol or set it anew"
)

Verdict = Literal["good", "doubtful", "bad"]
MARKS: dict[Verdict, str] = {"good": "✓", "doubtful": "?", "bad": "✗"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        topic: what was looked at.
        found: how it is.
        remedy: what to do about it, where it is not good.
    """

    topic: str
    verdict: Verdict
    found: str
    remedy: str | None = None


def examine(settings: AgentSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Finding]:
    """Look at everything that keeps an agent from working, whether or not it runs; changes nothing.

    Args:
        settings: of the agent.
        now: this box's clock, aware UTC.
    """
    try:
        view: local.View | SpoolwatchError = local.look(settings.data_dir, settings.outbox)
    except SpoolwatchError as error:
        view = error
    yield _model(settings)
    yield from _folder(settings)
    yield from _agent(view, now)
    yield _source(settings)
    yield _clock(settings, view, now)
    if settings.broker.cert_file is not None:
        yield _certificate(settings.broker.cert_file, now)
    yield from _broker(settings, view)


def render(findings: list[Finding], *, as_json: bool) -> str:
    """The findings as JSON, or as lines for people.

    >>> print(render([Finding(topic="clock", verdict="bad", found="an hour slow", remedy="set it")], as_json=False))
    ✗ clock      an hour slow
                 → set it
    """
    if as_json:
        return msgspec.json.encode(findings).decode()
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.verdict]} {finding.topic:<10} {finding.found}")
        if finding.remedy is not None:
            lines.append(f"{'':13}→ {finding.remedy}")
    return "\n".join(lines)


def _model(settings: AgentSettings) -> Finding:
    from shared.predictor import find_bundle, load_bundle

    try:
        predictor = load_bundle(find_bundle(settings.model), runtime=settings.runtime)
    except BundleError as error:
        return _bad("model", str(error), "install the model again, or name another with the setting model")
    return _good("model", f"{predictor.model_ref.name} {predictor.model_ref.version} predicts what it must")


def _folder(settings: AgentSettings) -> Iterator[Finding]:
    try:
        checks.check_data_dir(settings)
    except SettingsError as error:
        remedy = "run this as the agent's user (runuser -u spoolwatch-agent), or give that user the folder"
        yield _bad("folder", str(error), remedy)
        return
    foreign = sorted(path.name for path in _content(settings.data_dir) if not os.access(path, os.R_OK | os.W_OK))
    if foreign:
        yield _bad(
            "folder",
            f"{settings.data_dir} has files that this user cannot use: {', '.join(foreign)}",
            f"chown them to the agent's user, who owns {settings.data_dir}",
        )
    else:
        yield _good("folder", str(settings.data_dir))
    yield _disk(settings)


def _content(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _disk(settings: AgentSettings) -> Finding:
    existing = next(folder for folder in (settings.data_dir, *settings.data_dir.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    reserve = settings.outbox.disk_reserve_bytes
    found = f"{free / 1e6:,.0f} MB free, of which {reserve / 1e6:,.0f} MB are left to the system"
    if free <= reserve:
        return _bad("disk", found, "make room on this disk: the outbox grows no further, and will give up records")
    if free < reserve + settings.outbox.max_bytes:
        remedy = "the outbox cannot grow to its max_bytes here: make room, or expect fewer hours offline"
        return _doubtful("disk", found, remedy)
    return _good("disk", found)


def _agent(view: local.View | SpoolwatchError, now: Callable[[], datetime]) -> Iterator[Finding]:
    if isinstance(view, SpoolwatchError):
        yield _doubtful("agent", str(view), "start it: systemctl enable --now spoolwatch-agent")
        return
    if not view.running:
        remedy = "systemctl start spoolwatch-agent; why it ended: journalctl -u spoolwatch-agent"
        yield _bad("agent", "not running", remedy)
    elif view.last is None or now() - view.last.written_at > STATUS_AGE_MAX:
        since = f"since {view.last.written_at:%Y-%m-%d %H:%M:%S} UTC" if view.last else "yet"
        remedy = "systemctl restart spoolwatch-agent; nothing is lost by that"
        yield _bad("agent", f"runs, and has told nothing {since}", remedy)
    else:
        yield _good("agent", "running")
        source = view.last.status.source
        if source.state == "failed":
            yield _bad("rows", f"the source fails: {source.last_error}", "see source below, and the hardware")
        else:
            yield _good("rows", f"{source.rows} since the start, source {source.state}")
    if view.outbox.damage or view.outbox.dropped:
        lost = view.outbox.damage or f"{view.outbox.dropped} records were given up, as the outbox or its disk was full"
        yield _doubtful(
            "outbox", lost, "the centre has been told; raise outbox.max_bytes, or find out why it was offline"
        )
    else:
        yield _good("outbox", f"{view.outbox.unacked} records wait for the centre")
    if view.outbox.dead_letters:
        yield _doubtful(
            "set aside",
            f"the centre has set {view.outbox.dead_letters} records aside",
            "its quarantine says why; often an engine that is not registered at this gateway",
        )


def _source(settings: AgentSettings) -> Finding:
    try:
        found = checks.check_source(settings).removeprefix("source").strip()
    except SettingsError as error:
        return _bad("source", str(error), "set it right in the section [source]")
    match settings.source:
        case MqttSource(host=host, port=port) | TcpSource(host=host, port=port) | ModbusTcpSource(host=host, port=port):
            address = host, port
        case OpcUaSource() as opcua:
            address = opcua.address
        case _:
            return _good("source", found)
    try:
        socket.create_connection(address, TIMEOUT_S).close()
    except OSError as error:
        remedy = "is the hardware on, its address right, a firewall between?"
        return _bad("source", f"{address[0]}:{address[1]} does not answer: {error}", remedy)
    return _good("source", found)


def _clock(settings: AgentSettings, view: local.View | SpoolwatchError, now: Callable[[], datetime]) -> Finding:
    from edge_agent.centre_api import CentreApi, CentreApiError

    told_s = view.last.clock_skew_s if isinstance(view, local.View) and view.running and view.last else None
    try:
        if settings.centre_url is not None:
            return _skew((now() - CentreApi(settings.centre_url).now()).total_seconds())
    except CentreApiError as error:
        if told_s is None:
            remedy = "if all below is good, the broker is reached from here and the centre's API is not"
            return _doubtful("clock", f"not compared: {error}", remedy)
    if told_s is not None:
        return _skew(told_s)
    found = f"{now():%Y-%m-%d %H:%M:%S} UTC, compared with nothing"
    return _doubtful(
        "clock", found, "set centre_url, look at a watch, or see status when the agent ran for five minutes"
    )


def _skew(skew_s: float) -> Finding:
    if abs(skew_s) > SKEW_MAX_S:
        return _bad("clock", skew_text(skew_s), "have it set: timedatectl set-ntp true")
    return _good("clock", f"within {SKEW_MAX_S:.0f} s of the centre's")


def _certificate(file: Path, now: Callable[[], datetime]) -> Finding:
    from edge_agent.identity import IdentityError, read_expiry

    try:
        left = read_expiry(file) - now()
    except IdentityError as error:
        return _bad("identity", str(error), "enrol anew: spoolwatch-agent enroll URL --force")
    if left <= timedelta():
        remedy = "if the clock is right, enrol anew: spoolwatch-agent enroll URL --force"
        return _bad("identity", "the certificate has expired", remedy)
    found = f"certificate good for {left / timedelta(days=1):.1f} days"
    if left < CERTIFICATE_LEFT_MIN:
        return _doubtful("identity", found, "it should have been renewed by now: is centre_url reached from here?")
    return _good("identity", found)


def _broker(settings: AgentSettings, view: local.View | SpoolwatchError) -> Iterator[Finding]:
    broker = settings.broker
    try:
        addresses = socket.getaddrinfo(broker.host, broker.tcp_port, type=socket.SOCK_STREAM)
    except OSError as error:
        remedy = "is broker.host spelt right? see /etc/resolv.conf"
        yield _bad("name", f"{broker.host} is not resolved: {error.strerror}", remedy)
        return
    yield _good("name", f"{broker.host} is {', '.join(sorted({str(address[4][0]) for address in addresses}))}")
    try:
        with socket.create_connection((broker.host, broker.tcp_port), TIMEOUT_S) as line:
            yield _good("network", f"port {broker.tcp_port} answers")
            if broker.encryption is not None:
                secured = _tls(settings, broker.encryption, line)
                yield secured
                if secured.verdict == "bad":
                    return
    except OSError as error:
        remedy = "is the broker up, the port right, a firewall between?"
        yield _bad("network", f"port {broker.tcp_port} does not answer: {error}", remedy)
        return
    if isinstance(view, local.View) and view.running:
        yield _running_session(settings, view)
    else:
        yield asyncio.run(_session(settings))


def _tls(settings: AgentSettings, encryption: Tls, line: socket.socket) -> Finding:
    try:
        context, host = encryption.context(), settings.broker.host
        with context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False) as secured:
            secured.do_handshake()
    except SettingsError as error:
        return _bad("TLS", str(error), "enrol anew, or name the right files in [broker]")
    except ssl.SSLCertVerificationError as error:
        remedy = "is it the right broker? broker.ca_file, server_name and this box's clock decide"
        return _bad("TLS", f"the broker's certificate is not trusted: {error.verify_message}", remedy)
    except OSError as error:
        return _bad("TLS", f"no TLS: {error}", "does the broker speak TLS on that port?")
    return _good("TLS", "the broker is who it says")


def _running_session(settings: AgentSettings, view: local.View) -> Finding:
    """What the running agent says of its own: one that we began would end it."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while view.last is None or not view.last.is_up:
        if time.monotonic() > deadline_s:
            told = "nothing of its link" if view.last is None else f"that its link is {view.last.link}"
            return _bad("session", f"the running agent tells {told}", SESSION_REMEDY)
        time.sleep(STATUS_POLL_S)
        view = local.look(settings.data_dir, settings.outbox)
    return _good("session", f"the running agent's link is {view.last.link}")


async def _session(settings: AgentSettings) -> Finding:
    """Connect as the agent does."""
    from edge_agent.app import link_options
    from edge_agent.mqtt import Connected, Disconnected, MqttLink

    try:
        link = MqttLink(link_options(settings))
        link.open()
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                while not isinstance(event := await link.events.get(), Connected | Disconnected):
                    pass
        finally:
            await link.close()
    except SettingsError as error:
        return _bad("session", str(error), "set it right in the section [broker]")
    except TimeoutError:
        return _bad("session", "the broker does not finish connecting", "is that an MQTT broker?")
    if isinstance(event, Disconnected):
        return _bad("session", event.reason, SESSION_REMEDY)
    return _good("session", "the broker lets this gateway in, to its own topics")


def _good(topic: str, found: str) -> Finding:
    return Finding(topic=topic, verdict="good", found=found)


def _doubtful(topic: str, found: str, remedy: str) -> Finding:
    return Finding(topic=topic, verdict="doubtful", found=found, remedy=remedy)


def _bad(topic: str, found: str, remedy: str) -> Finding:
    return Finding(topic=topic, verdict="bad", found=found, remedy=remedy)
