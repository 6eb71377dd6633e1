"""Composition root of the aggregator: builds store, broker, ingest and API, and runs them until told to stop."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from shlex import quote

import structlog
import uvicorn
from sdnotify import SystemdNotifier

from aggregator.access.authority import open_authority
from aggregator.access.issuer import Issuer
from aggregator.access.sealing import RECEIVERS, Seal
from aggregator.access.tokens import TokenKey
from aggregator.alarm_watch import AlarmWatch
from aggregator.api.app import create_app
from aggregator.broker import embedded_broker
from aggregator.dashboard.pages import mount
from aggregator.enrolment import Enrolment, Welcome
from aggregator.inference import Inference
from aggregator.ingest.connection import Identity
from aggregator.ingest.encryption import broker_tls
from aggregator.ingest.pipeline import Ingest
from aggregator.listener import listen
from aggregator.notify.courier import Courier
from aggregator.notify.sender import Sender
from aggregator.settings import AggregatorSettings, ApiSettings
from aggregator.signing import open_command_key
from aggregator.store.backup import in_use
from aggregator.store.database import Store, open_store
from aggregator.store.people import is_open
from aggregator.store.quarantine_bound import QuarantineBound
from aggregator.store.retention import Retention
from aggregator.upkeep import Upkeep
from shared.errors import SpoolwatchError

log = structlog.get_logger(__name__)

GRACE_S = 2  # for open pages; ingest and store need about as long again
KEEP_ALIVE_S = 60  # a server that is busy for longer than this closes connections on which a request waits
WATCH_INTERVAL_S = 1.0
STALL_S = 60.0  # a connection may rightly wait 30 s to try again and 10 s more for an answer


class _Server(uvicorn.Server):
    """Uvicorn without its own signals, which would stop the API alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: AggregatorSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SettingsError: a setting cannot be used on this machine.
        SpoolwatchError: the store or the broker cannot be used.
    """
    stop = _stop_on_signals()
    async with AsyncExitStack() as stack:
        store = open_store(settings.store_url())
        stack.callback(store.close)
        stack.enter_context(in_use(store))
        issuer = Issuer(settings.issuer) if settings.issuer.url else None
        has_accounts = issuer is not None or not is_open(store)
        settings.check_host(has_accounts=has_accounts)
        settings.api.check_tls()
        listener = stack.enter_context(listen(settings.api))
        if settings.broker.kind == "embedded":
            await stack.enter_async_context(embedded_broker(settings.broker.host, settings.broker.tcp_port))
        key = open_command_key(settings.command_key_path())
        authority = open_authority(settings.ca_path(), _utc_now())
        bound = QuarantineBound(store, settings.quarantine.max_rows, settings.quarantine.max_bytes)
        welcome = Welcome.of(settings.broker, settings.enrolment, key.public)
        tls = broker_tls(settings.broker, authority, settings.replica)
        ingest = Ingest(store, settings.broker, Identity(settings.replica, store.epoch()), key, bound, tls=tls)
        upkeep = Upkeep(store, Retention(**settings.retention.model_dump()))
        token_key = TokenKey.open(settings.token_key_path())
        thresholds = settings.fleet.thresholds()
        seal = Seal(token_key.derive(RECEIVERS))
        courier = Courier(seal, f"urn:uuid:{store.epoch()}", settings.api.public_url, _utc_now)
        api = create_app(
            store,
            ingest.status,
            key=token_key,
            issuer=issuer,
            settings=settings.api,
            thresholds=thresholds,
            orders=ingest.orders,
            inference=Inference(settings.data_dir / "trusted-models.txt"),
            enrolling=Enrolment(store, authority, welcome, _utc_now),
            courier=courier,
        )
        mount(api, _store_flag(settings, store))
        server = _Server(
            uvicorn.Config(
                api,
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_certfile=settings.api.tls_cert_file,
                ssl_keyfile=settings.api.tls_key_file,
                proxy_headers=bool(settings.api.trusted_proxies),
                forwarded_allow_ips=list(settings.api.trusted_proxies),
                timeout_graceful_shutdown=GRACE_S,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        _say_where(listener, settings.api, has_accounts=has_accounts)
        async with asyncio.TaskGroup() as tasks:
            watch, sender = AlarmWatch(store), Sender(store, courier)
            runs = (ingest.run(), upkeep.run(), watch.run(), sender.run(), _watch(server, ingest))
            loops = [tasks.create_task(run) for run in runs]
            tasks.create_task(_serve_api(server, listener, stop))
            await stop.wait()
            log.info("stopping")
            api.state.centre.feed.close()
            server.should_exit = True
            for task in loops:
                task.cancel()
    if not server.started:
        raise SpoolwatchError("the API did not start; the log above says why")
    log.info("stopped")


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _store_flag(settings: AggregatorSettings, store: Store) -> str:
    """What a command on this machine is given to use the same store; a password stays out."""
    if settings.database_url is None:
        return f"--data-dir {quote(str(settings.data_dir.absolute()))}"
    return f"--database-url {quote(store.engine.url.render_as_string())}"


def _say_where(listener: socket.socket, api: ApiSettings, *, has_accounts: bool) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "http" if api.tls_cert_file is None else "https"
    log.info("serving", page=f"{scheme}://{host}:{port}/", docs=f"{scheme}://{host}:{port}/api/docs")
    if not has_accounts:
        log.info(
            "loopback_only",
            reason="there are no accounts yet, so nobody else may reach this page",
            to_change_that="spoolwatch-aggregator user add NAME --role admin",
        )
    if not (api.is_loopback or api.trusted_proxies or api.tls_cert_file):
        log.warning("not_encrypted", reason="passwords and tokens travel in the clear; put a TLS proxy before this")


async def _serve_api(server: uvicorn.Server, listener: socket.socket, stop: asyncio.Event) -> None:
    await server.serve(sockets=[listener])
    stop.set()  # for whatever reason it ended, the rest ends with it


async def _watch(server: uvicorn.Server, ingest: Ingest) -> None:
    """Tell systemd that we are ready, and from then on that the loops make progress."""
    notifier = SystemdNotifier() if "NOTIFY_SOCKET" in os.environ else None
    ready = False
    while notifier is not None:
        if not ready and server.started and ingest.status.since is not None:
            ready = True
            notifier.notify("READY=1")
        # This very loop serves the pages too, so that to get here proves it alive.
        if asyncio.get_running_loop().time() - ingest.oldest_beat() < STALL_S:
            notifier.notify("WATCHDOG=1")
        await asyncio.sleep(WATCH_INTERVAL_S)
