"""Puts the pages onto the server of the API, at its root."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from nicegui import Client, ui
from nicegui import app as nicegui_app
from nicegui.elements.mixins.text_element import TextElement

from aggregator.api.deps import Centre
from aggregator.api.problems import problem_response
from aggregator.api.recent import RecentAnswers
from aggregator.dashboard import login
from aggregator.dashboard.alarm_page import show_alarm
from aggregator.dashboard.alarms_page import AlarmListing
from aggregator.dashboard.audit_page import AuditListing
from aggregator.dashboard.compare_page import show_comparison
from aggregator.dashboard.engine_page import show_engine
from aggregator.dashboard.engine_state import EngineReader
from aggregator.dashboard.fleet_page import FleetListing
from aggregator.dashboard.frame import Source, frame, notice
from aggregator.dashboard.gateways_page import GatewayListing
from aggregator.dashboard.lists import Listing, show_list
from aggregator.dashboard.models_page import ModelListing
from aggregator.dashboard.people_page import KeyListing, PeopleListing
from aggregator.dashboard.plan_page import show_plan
from aggregator.dashboard.receiver_page import show_receiver
from aggregator.dashboard.receivers_page import ReceiverListing
from aggregator.dashboard.rule_page import show_rule
from aggregator.dashboard.rules_page import RuleListing
from aggregator.dashboard.work_order_page import show_work_order
from aggregator.dashboard.work_page import WorkListing

QUESTIONS_KEPT = 200


async def _show_not_found(request: Request, _: Exception) -> Response:
    """Answer an unknown page: a person with a page, a program with problem details."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem_response(request, 404, f"There is nothing at {request.url.path}; see /api/docs.")
    with Client(ui.page(""), request=request) as client:
        with frame(), notice("There is no such page"):
            ui.link("To the fleet", "/")
        return client.build_response(request, 404)


async def _refuse_method(request: Request, _: Exception) -> Response:
    """Answer another method than a page takes, which only programs use."""
    detail = f"{request.method} is not possible here; see /api/docs."
    return problem_response(request, 405, detail, headers={"Allow": "GET"})


async def _show_defect(request: Request, _: Exception) -> Response:
    with Client(ui.page(""), request=request) as client:
        with frame(), notice("This page has a defect"):
            TextElement(tag="p", text="The log of the aggregator says more.")
        return client.build_response(request, 500)


def _list_at(path: str, title: str, listing: Listing, source: Callable[[Request], Source]) -> None:
    @ui.page(path, title=f"{title} · Spoolwatch")
    async def page(request: Request) -> None:
        await show_list(source(request), listing)


def mount(app: FastAPI, store_flag: str) -> None:
    """Serve the pages with an app, below every route it has; once per process, as NiceGUI has it.

    Args:
        app: the API, with the centre that the pages show.
        store_flag: what leads a command on this machine to its store, such as ``--data-dir /srv/centre``.
    """
    centre: Centre = app.state.centre
    recent: RecentAnswers[Any] = RecentAnswers(QUESTIONS_KEPT)
    source = partial(Source, centre, store_flag, recent)

    reader = EngineReader(centre.thresholds)
    _list_at("/", "Fleet", FleetListing(centre.thresholds), source)
    _list_at("/alarms", "Alarms", AlarmListing(), source)
    _list_at("/work-orders", "Work", WorkListing(), source)
    _list_at("/models", "Models", ModelListing(), source)
    _list_at("/gateways", "Gateways", GatewayListing(), source)
    _list_at("/rules", "Rules", RuleListing(), source)
    _list_at("/receivers", "Receivers", ReceiverListing(), source)
    _list_at("/people", "People", PeopleListing(), source)
    _list_at("/keys", "API keys", KeyListing(), source)
    _list_at("/audit", "Audit", AuditListing(), source)

    @ui.page("/plan", title="Plan · Spoolwatch")
    async def plan(request: Request) -> None:
        await show_plan(source(request))

    @ui.page("/engines/{serial}")
    async def engine(serial: str, request: Request) -> None:
        await show_engine(source(request), reader, serial)

    @ui.page("/compare")
    async def compare(request: Request, engines: str = "") -> None:
        await show_comparison(source(request), engines)

    @ui.page("/alarms/{alarm_id}")
    async def alarm(alarm_id: str, request: Request) -> None:
        await show_alarm(source(request), alarm_id)

    @ui.page("/work-orders/{order_id}")
    async def work_order(order_id: str, request: Request) -> None:
        await show_work_order(source(request), order_id)

    @ui.page("/rules/{rule_id}")
    async def rule(rule_id: str, request: Request) -> None:
        await show_rule(source(request), rule_id)

    @ui.page("/receivers/{receiver_id}")
    async def receiver(receiver_id: str, request: Request) -> None:
        await show_receiver(source(request), receiver_id)

    app.include_router(login.router)

    nicegui_app.add_exception_handler(404, _show_not_found)
    nicegui_app.add_exception_handler(405, _refuse_method)
    nicegui_app.add_exception_handler(Exception, _show_defect)
    # Nothing is kept per visitor, so that NiceGUI writes no files; `None` follows the system's dark mode.
    ui.run_with(app, title="Spoolwatch", dark=None, tailwind=False, show_welcome_message=False)
    nicegui_app.add_middleware(login.Door, centre=centre)
