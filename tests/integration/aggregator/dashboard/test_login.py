"""The door of the pages: who has not logged in is shown where to, on every path and on every websocket."""

import httpx
import pytest
from starlette.responses import PlainTextResponse

from aggregator.access.passwords import hash_password
from aggregator.access.roles import FULL_ACCESS, Caller, Grant, Role
from aggregator.api.app import create_app
from aggregator.dashboard import login
from aggregator.dashboard.login import Door
from aggregator.ingest.status import IngestStatus
from aggregator.store.people import add_person

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
FORM = {"name": "anna", "password": PASSWORD, "to": "/engines/E-1"}
PERSON = {"Accept": "text/html"}


@pytest.fixture
def app(store, clock):
    """The API with its door, and plain text where the pages would be."""
    app = create_app(store, IngestStatus(), clock)
    app.include_router(login.router)

    async def pages(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "the pages"})
        else:
            await PlainTextResponse("the pages")(scope, receive, send)

    app.mount("/", Door(pages, app.state.centre))
    return app


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://127.0.0.1") as client:
        yield client


@pytest.fixture
def anna(store, clock):
    add_person(store, "anna", HASH, (Grant(Role.VIEWER, "hamburg"),), Caller("root", FULL_ACCESS), clock())


async def test_without_accounts_the_pages_are_open(client):
    assert (await client.get("/engines/E-1")).text == "the pages"
    assert (await client.get("/login")).headers["location"] == "/"


FOREIGN = [{"Host": "evil.example:8000"}, {"Host": "127.0.0.1", "Origin": "https://evil.example"}]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_p8_without_accounts_the_pages_of_other_sites_are_kept_out(app, client, headers):
    assert (await client.get("/", headers=headers | PERSON)).status_code == 403
    assert await handshake(app, headers) == ["websocket.close"]


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "path", ["/", "/engines/E-1", "/_nicegui/3/static/x.js", "/_nicegui_ws/socket.io/", "/nowhere"]
)
async def test_p8_a_stranger_is_shown_where_to_log_in(client, path):
    person = await client.get(path, headers=PERSON)
    assert (person.status_code, person.headers["location"]) == (303, f"/login?to={path}")
    for program in (await client.get(path), await client.post(path, headers=PERSON)):
        assert (program.status_code, program.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.usefixtures("anna")
async def test_a_login_opens_the_page_that_was_wanted_until_it_is_over(client, clock):
    begun = await client.post("/login", data=FORM)
    assert (begun.status_code, begun.headers["location"]) == (303, "/engines/E-1")
    cookie = begun.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Secure", "Max-Age=43200", "Path=/"))
    assert (await client.get("/")).text == "the pages"
    clock.advance(12 * 3600)
    assert (await client.get("/")).status_code == 401


@pytest.mark.usefixtures("anna")
async def test_a_logout_ends_it_for_a_copy_of_the_cookie_too(client):
    await client.post("/login", data=FORM)
    copy = {"Cookie": f"spoolwatch_login={client.cookies['spoolwatch_login']}"}
    assert (await client.post("/logout")).headers["location"] == "/login"
    assert dict(client.cookies) == {}
    assert (await client.get("/", headers=copy)).status_code == 401


async def handshake(app, headers):
    """What a websocket of the pages is answered."""
    said = []
    scope = {
        "type": "websocket",
        "path": "/_nicegui_ws/socket.io/",
        "query_string": b"",
        "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        "client": ("192.0.2.7", 1),
        "scheme": "wss",
    }

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        said.append(message["type"])

    await app(scope, receive, send)
    return said


@pytest.mark.usefixtures("anna")
async def test_p8_a_websocket_takes_a_login_as_well(app, client):
    assert await handshake(app, {"Host": "127.0.0.1"}) == ["websocket.close"]
    assert await handshake(app, {"Cookie": "spoolwatch_login=x"}) == ["websocket.close"]
    await client.post("/login", data=FORM)
    cookie = {"Cookie": f"spoolwatch_login={client.cookies['spoolwatch_login']}"}
    assert await handshake(app, cookie) == ["websocket.accept", "websocket.send"]


@pytest.mark.usefixtures("anna")
@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "//[x", "", "/\nx"]
)
async def test_p8_a_link_cannot_lead_elsewhere_after_the_login(client, to):
    location = (await client.post("/login", data=FORM | {"to": to})).headers["location"]
    assert location in ("/", "/x", "/%0Ax")
    assert "evil" not in (await client.get("/login", params={"to": to})).text


@pytest.mark.usefixtures("anna")
async def test_p8_the_form_of_another_site_is_refused(client):
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await client.post("/login", data=FORM, headers=foreign)).status_code == 403
    assert (await client.post("/logout", headers=foreign)).status_code == 403


@pytest.mark.usefixtures("anna")
async def test_a_wrong_password_is_told_and_what_was_typed_is_escaped(client):
    answer = await client.post("/login", data=FORM | {"name": '"><script>'})
    assert answer.status_code == 401
    assert "There is nobody of this name" in answer.text
    assert "<script>" not in answer.text
    for _ in range(5):
        answer = await client.post("/login", data=FORM | {"password": "wrong"})
    blocked = await client.post("/login", data=FORM)
    assert (answer.status_code, blocked.status_code) == (401, 429)
    assert "try again in 2 s" in blocked.text


async def test_nobody_is_let_in_while_the_store_cannot_be_read(app, client, store):
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE person RENAME TO lost")
    answer = await client.get("/", headers=PERSON)
    assert (answer.status_code, "tries again" in answer.text, "SELECT" in answer.text) == (503, True, False)
    assert await handshake(app, {"Host": "127.0.0.1"}) == ["websocket.close"]
