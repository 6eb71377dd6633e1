"""Builds the REST API: every router under /api/v1, health beside it, and the interactive docs without a CDN."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import FastAPI

from aggregator.api import docs, problems
from aggregator.api.deps import Centre
from aggregator.api.routes import engines, fleet, gateways, health, history, missing, quarantine
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store

DESCRIPTION = """
What the centre knows of the fleet: engines with their predicted remaining useful life (RUL) as a distribution in
cycles, the history behind it, and the gateways it comes from.

Times are RFC 3339 in UTC. Lists come in pages: follow `next`, or the Link header. Every error is problem details
(RFC 9457). At the model's cap a prediction only says "at least `cap_cycles`"; `at_cap` tells.
"""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(store: Store, ingest: IngestStatus, now: Callable[[], datetime] = _utc_now) -> FastAPI:
    """Build the API over a migrated store; whoever gives the store closes it.

    Args:
        store: what it reads from and registers engines in.
        ingest: how ingest is doing, kept up to date by it.
        now: the clock, aware UTC.
    """
    app = FastAPI(
        title="Spoolwatch",
        version=version("spoolwatch"),
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.centre = Centre(store, ingest, now)
    for resource in (fleet, engines, history, gateways, missing, quarantine):
        app.include_router(resource.router, prefix="/api/v1")
    app.include_router(health.router)
    docs.serve(app)
    problems.register(app)
    return app
