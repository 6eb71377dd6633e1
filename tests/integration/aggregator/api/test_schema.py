"""What openapi.json says, tried on a server by generated requests, valid and not: no defect, nothing undocumented."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import schemathesis
import uvicorn
from hypothesis import settings

from aggregator.access.opaque import draw_api_key
from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.access.tokens import TokenKey
from aggregator.api.app import create_app
from aggregator.ingest.status import IngestStatus
from aggregator.notify import apprise
from aggregator.notify.outcome import AddressError
from aggregator.permissions import permissions
from aggregator.settings import ApiSettings
from aggregator.store.api_keys import KeyWish, add_key
from aggregator.store.database import Store
from aggregator.store.logins import begin_login
from aggregator.store.people import add_person

ROOT = Caller("root on this machine", FULL_ACCESS)
UNLIMITED = "1000000/second"
DESCRIBED = create_app(Store("sqlite:///never-opened.db"), IngestStatus())
IN_PERSON = {(one.method, one.path) for one in permissions(DESCRIBED) if one.in_person}
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED.openapi())


def strict(described):
    """The description for who does not ask for some fields only."""
    if isinstance(described, list):
        return [strict(one) for one in described]
    if not isinstance(described, dict):
        return described
    match described.get("anyOf"):
        case [{"$ref": whole}, {"$ref": some}] if some == f"{whole}Fields":
            return {"$ref": whole}
    return {name: strict(value) for name, value in described.items()}


STRICT = schemathesis.openapi.from_dict(strict(DESCRIBED.openapi()))

# Which cursors there are, and which of two dates comes first, no schema says.
BEYOND_WHAT_SCHEMAS_SAY = [schemathesis.checks.positive_data_acceptance]
THERE_ARE = {"serial": "E-1", "id": 1, "name": "anna"}


async def no_service(url):
    """Each look of Apprise takes a process of its own, and it takes none of the URLs that are drawn here."""
    raise AddressError(f"no service takes {url}")


@pytest.fixture(scope="module")
def without_apprise():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apprise, "check_url", no_service)
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory, recorder_of, without_apprise):
    """The address of a server with a small fleet, and what to show it."""

    def now():
        return datetime.now(UTC)

    store = Store(f"sqlite:///{tmp_path_factory.mktemp('schema') / 'store.db'}")
    store.migrate()
    recorder = recorder_of(store, now)
    for serial in ("E-1", "E-2"):
        recorder.engine(serial, gateway=f"gw-{serial}")
    recorder.garbage()
    for name in ("root", "anna"):
        add_person(store, name, "no hash", FULL_ACCESS, ROOT, now())
    key, token_key, until = draw_api_key(), TokenKey.draw(), now() + timedelta(days=1)
    add_key(store, key, KeyWish("test", FULL_ACCESS, until), ROOT, now())
    begin_login(store, "root", "l", "127.0.0.1", now(), until)
    limits = ApiSettings(rate=UNLIMITED, login_rate=UNLIMITED)
    app = create_app(store, IngestStatus(connected=True), key=token_key, settings=limits)
    app.state.centre.feed.close()  # so that its streams have an end
    uvicorn_server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=uvicorn_server.run)
    thread.start()
    while not uvicorn_server.started:
        time.sleep(0.01)
    port = uvicorn_server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", key.text, token_key.issue("l", "api", now(), 86_400)
    uvicorn_server.should_exit = True
    thread.join()
    store.close()


@SCHEMA.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True)
def test_no_request_finds_a_defect(case, server):
    check(case, *server)


def check(case, url, key, token):
    """Send a request, half of them for things that there are, and hold the answer against the schema."""
    if case.meta.generation.mode.is_positive and len(str(case.path_parameters)) % 2:
        case.path_parameters.update({name: value for name, value in THERE_ARE.items() if name in case.path_parameters})
    shown = token if (case.method, case.operation.path) in IN_PERSON else key
    query = case.query or {}
    # An empty list or object is sent as nothing, which is no wrong value.
    unsent = [schemathesis.checks.negative_data_rejection] if [] in query.values() or {} in query.values() else []
    response = case.call_and_validate(
        base_url=url, headers={"Authorization": f"Bearer {shown}"}, excluded_checks=[*BEYOND_WHAT_SCHEMAS_SAY, *unsent]
    )
    if response.status_code == 200 and "fields" not in query:
        STRICT[case.operation.path][case.method].validate_response(response)
