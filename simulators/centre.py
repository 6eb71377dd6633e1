"""The centre as a play sees it: an aggregator, running already or started here, through its public API."""

import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import httpx

from shared.errors import SpoolwatchError
from simulators.count import Stored
from simulators.programs import Programs

LOOPBACK = "127.0.0.1"
API_PORT, BROKER_PORT = 8000, 1883
REQUEST_TIMEOUT_S = 5.0
POLL_S = 0.2
PAGE_ITEMS = 500
POSITION = "1"
ADMIN = "admin"
PASSWORD_BYTES = 12
KEY_DAYS = 366


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a centre: its address, such as ``http://127.0.0.1:8000``, and a key for it, where it takes one."""

    url: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class CentreAddress:
    """Where a centre can be reached: its API and its broker.

    ``command_key`` is what agents know its commands by; without it they obey none.
    """

    api: Api
    broker_host: str
    broker_port: int
    mqtt_version: Literal[3, 5]
    command_key: str | None = None


class Admin(NamedTuple):
    """Somebody who may do everything at a centre."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Rul:
    """A predicted RUL in cycles: the 5, 50 and 95 % quantiles and the model's cap."""

    q05: float
    q50: float
    q95: float
    cap: float


@dataclass(frozen=True, slots=True)
class EngineView:
    """What the centre says of one engine."""

    serial: str
    band: str = "unknown"
    link: str = "–"
    rul: Rul | None = None
    last_record_at: datetime | None = None


def start_centre(programs: Programs, folder: Path) -> CentreAddress:
    """Start an aggregator with its embedded broker, on its usual ports where they are free."""
    api_port, broker_port = _free_port(API_PORT), _free_port(BROKER_PORT)
    data_dir = ("--data-dir", str(folder.absolute()))
    command_key = programs.ask("spoolwatch-aggregator", "command-key", *data_dir)
    programs.start(
        "aggregator",
        "spoolwatch-aggregator",
        "serve",
        *data_dir,
        *("--api.port", str(api_port)),
        *("--broker.kind", "embedded"),
        *("--broker.port", str(broker_port)),
    )
    return CentreAddress(Api(f"http://{LOOPBACK}:{api_port}"), LOOPBACK, broker_port, 3, command_key)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SpoolwatchError(f"no TCP port is free on {LOOPBACK}")


class Centre:
    """The API of one centre.

    Args:
        api: where it is, and with which key.
        transport: how requests travel; the network, if not given.
    """

    def __init__(self, api: Api, transport: httpx.BaseTransport | None = None) -> None:
        self._api = api.url.rstrip("/")
        # No proxy of the environment may come between us and the loopback.
        self._client = httpx.Client(base_url=self._api, timeout=REQUEST_TIMEOUT_S, transport=transport, trust_env=False)
        if api.key is not None:
            self._show(api.key)

    def wait_ready(self, timeout_s: float, *checks: Callable[[], None]) -> None:
        """Wait until the centre is ready; the checks are made meanwhile and may raise.

        Raises:
            SpoolwatchError: it was not ready in time.
        """
        deadline = time.monotonic() + timeout_s
        while not self._ready():
            for check in checks:
                check()
            if time.monotonic() > deadline:
                raise SpoolwatchError(f"{self._api}/health/ready did not say that it is ready within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def add_admin(self, site: str) -> Admin:
        """Give a centre that has no accounts yet its first one; from here on we ask with a key of our own.

        Args:
            site: where the key is good to register engines.

        Raises:
            SpoolwatchError: the centre refuses it.
        """
        admin = Admin(ADMIN, secrets.token_urlsafe(PASSWORD_BYTES))
        grants = [{"role": "admin", "site": "*"}]
        self._request("POST", "/api/v1/people", json={**admin._asdict(), "grants": grants})
        login = self._request("POST", "/api/v1/sessions", json=admin._asdict())
        self._show(login.json()["access_token"])
        wanted = {"purpose": "the play", "role": "engineer", "sites": [site], "expires_in_days": KEY_DAYS}
        self._show(self._request("POST", "/api/v1/api-keys", json=wanted).json()["key"])
        return admin

    def register(self, serial: str, site: str, gateway: str) -> None:
        """Register an engine that the centre does not know yet.

        Raises:
            SpoolwatchError: the centre knows it already, or refuses it.
        """
        engine = {"serial": serial, "site": site, "type": "turbofan", "gateway": gateway, "position": POSITION}
        response = self._request("POST", "/api/v1/engines", json=engine)
        if response.status_code != httpx.codes.CREATED:
            raise SpoolwatchError(
                f"engine {serial} was registered at {self._api} before, so what it stored then would be counted "
                "as well; give these engines other serials with --prefix"
            )

    def views(self, serials: Iterable[str]) -> dict[str, EngineView] | None:
        """What the centre says of these engines, by serial; None while it cannot be asked."""
        wanted = set(serials)
        try:
            views = [_view(engine) for engine in self._pages("/api/v1/engines", limit=PAGE_ITEMS)]
        except SpoolwatchError:
            return None
        return {view.serial: view for view in views if view.serial in wanted}

    def stored(self, serials: Iterable[str]) -> Stored:
        """What the centre's store holds of these engines, by the history that its API gives."""
        stored = Stored()
        for serial in serials:
            for row in self._history(serial, "telemetry"):
                key = (serial, row["cycle"])
                stored.telemetry[key] += 1
                if row["refusal"] is not None:
                    stored.refusals[key] = row["refusal"]
            stored.predictions.update((serial, record["cycle"]) for record in self._history(serial, "predictions"))
        return stored

    def _history(self, serial: str, kind: str) -> Iterator[dict[str, Any]]:
        return self._pages(f"/api/v1/engines/{serial}/{kind}", limit=PAGE_ITEMS)

    def _pages(self, path: str, **parameters: int) -> Iterator[dict[str, Any]]:
        response = self._request("GET", path, params=parameters)
        yield from response.json()["items"]
        while (following := response.links.get("next")) is not None:
            response = self._request("GET", following["url"])
            yield from response.json()["items"]

    def _show(self, credential: str) -> None:
        self._client.headers["Authorization"] = f"Bearer {credential}"

    def _ready(self) -> bool:
        try:
            return self._client.get("/health/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise SpoolwatchError(f"{method} {self._api}{path}: {error}") from error
        if response.is_error:
            raise SpoolwatchError(f"{method} {self._api}{path}: {response.status_code} {response.text}")
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _view(engine: Mapping[str, Any]) -> EngineView:
    rul, last_record_at = engine["rul"], engine["last_record_at"]
    return EngineView(
        serial=engine["serial"],
        band=engine["band"],
        link=engine["liveness"]["state"],
        rul=rul and Rul(**{name: rul[f"{name}_cycles"] for name in ("q05", "q50", "q95", "cap")}),
        last_record_at=last_record_at and datetime.fromisoformat(last_record_at),
    )
