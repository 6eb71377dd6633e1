"""The API over a real store, asked as a client asks it, without a socket."""

import httpx
import pytest
from sqlalchemy import event

from aggregator.api.app import create_app
from aggregator.ingest.status import IngestStatus


@pytest.fixture
def ingest():
    return IngestStatus(connected=True)


@pytest.fixture
async def client(store, ingest, clock):
    app = create_app(store, ingest, clock)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://centre.test") as client:
        yield client


@pytest.fixture
def statements(store):
    """Every SELECT that the store was sent."""
    seen = []

    def see(connection, cursor, statement, *_):
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(store.engine, "before_cursor_execute", see)
    return seen
