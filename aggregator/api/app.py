"""Builds the REST API: every router under /api/v1, health beside it, and the interactive docs without a CDN."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from aggregator.access.authority import Authority
from aggregator.access.issuer import Issuer
from aggregator.access.sealing import RECEIVERS, Seal
from aggregator.access.tokens import TokenKey
from aggregator.api import docs, problems
from aggregator.api.authentication import Authenticator
from aggregator.api.caching import Reads
from aggregator.api.correlation import REQUEST_ID, Correlation
from aggregator.api.deps import Centre, check_caller
from aggregator.api.feed import Feed
from aggregator.api.headers import SecurityHeaders
from aggregator.api.idempotency import REPLAYED, Idempotency
from aggregator.api.limits import BodyLimit, RateLimit
from aggregator.api.recent import RecentAnswers
from aggregator.api.routes import (
    alarm_rules,
    alarms,
    api_keys,
    audit,
    buckets,
    commands,
    engines,
    enrolment,
    events,
    files,
    fleet,
    gateways,
    health,
    history,
    installations,
    lineage,
    missing,
    outcomes,
    overhauls,
    people,
    predict,
    quarantine,
    receivers,
    samples,
    sessions,
    why,
    work_orders,
)
from aggregator.api.schemas.idempotency import HEADER
from aggregator.api.sign_in import SignIn
from aggregator.enrolment import Enrolment
from aggregator.fleet.bands import THRESHOLDS, Thresholds
from aggregator.gateways import Gateways, Orders
from aggregator.inference import Inference
from aggregator.ingest.status import IngestStatus
from aggregator.notify.courier import Courier
from aggregator.predicting import Predicting
from aggregator.settings import ApiSettings
from aggregator.store.database import Store

DESCRIPTION = """
What the centre knows of the fleet: engines with their predicted remaining useful life (RUL) as a distribution in
cycles, the history behind it, and the gateways it comes from.

Times are RFC 3339 in UTC. Lists come in pages: follow `next`, or the Link header. With `fields=serial,rul` only these
fields are shown. Every error is problem details (RFC 9457), and every answer has the `X-Request-ID` by which the log
calls it. At the model's cap a prediction only says "at least `cap_cycles`"; `at_cap` tells.

Once somebody has an account, all but health and login takes `Authorization: Bearer …` with the access token of a login,
a token of the outside issuer, or an API key. What is at a site that one may not see is not found.
"""
DEFAULTS = ApiSettings()
SUMMARIES_KEPT = 200
LIVES_KEPT = 20  # some 150 bytes an engine
LIVES_FRESH_S = 10.0  # dates are told by the day
ASKED_WITH = ("If-None-Match", HEADER, "Last-Event-ID", REQUEST_ID, "traceparent")
RESOURCES = (
    *(fleet, engines, overhauls, why, history, buckets, files, lineage, predict),
    *(installations, gateways, enrolment, commands, samples, missing, quarantine),
    *(alarms, outcomes, alarm_rules, receivers, work_orders),
    *(events, sessions, people, api_keys, audit, health),
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    store: Store,
    ingest: IngestStatus,
    now: Callable[[], datetime] = _utc_now,
    *,
    key: TokenKey | None = None,
    issuer: Issuer | None = None,
    settings: ApiSettings = DEFAULTS,
    thresholds: Thresholds = THRESHOLDS,
    inference: Inference | None = None,
    enrolling: Enrolment | None = None,
    orders: Orders | None = None,
    courier: Courier | None = None,
) -> FastAPI:
    """Build the API over a migrated store; whoever gives the store closes it.

    Args:
        store: what it reads from and registers engines in.
        ingest: how ingest is doing, kept up to date by it.
        now: the clock, aware UTC.
        key: signs the tokens of those who log in; without it one that is kept nowhere.
        issuer: an outside issuer whose tokens are taken as well.
        settings: how much is taken from whom.
        thresholds: what health bands go by.
        inference: runs the models; without it one that proves each anew.
        enrolling: lets gateways in; without it nobody.
        orders: publishes commands to gateways; without it none can be asked for anything.
        courier: sends what receivers are told; without it one that gives no links.
    """
    key = key or TokenKey.draw()
    line = Gateways(store, ingest, orders, now)
    app = FastAPI(
        title="Spoolwatch",
        version=version("spoolwatch"),
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        routes=[route for resource in RESOURCES for route in resource.router.routes],
        webhooks=receivers.webhooks,
    )
    app.state.centre = Centre(
        store,
        ingest,
        now,
        Authenticator(store, key, issuer, now, settings.cors_origins),
        SignIn(store, key, settings.login_rate, now),
        RateLimit(settings.rate),
        thresholds,
        RecentAnswers(SUMMARIES_KEPT),
        RecentAnswers(LIVES_KEPT, LIVES_FRESH_S),
        line,
        Predicting(store, inference or Inference(), line, now),
        Feed(store, now, thresholds),
        enrolling or Enrolment(store, Authority.draw(now()), None, now),
        courier or Courier(Seal(key.derive(RECEIVERS)), "urn:spoolwatch", None, now),
    )
    docs.serve(app)
    problems.register(app, check_caller)
    _add_middleware(app, settings, key)
    return app


def _add_middleware(app: FastAPI, settings: ApiSettings, key: TokenKey) -> None:
    """Wrap the app; what is added last sees a request first."""
    app.add_middleware(Idempotency, secret=key.derive(HEADER))
    app.add_middleware(Reads)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "If-Match", *ASKED_WITH],
            expose_headers=[REPLAYED, REQUEST_ID, "ETag", "Link", "Location", "Retry-After"],
        )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Correlation)
