"""The plan of removals: asked for in a form, shown as a list, and carried out by opening work orders."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from pydantic import ValidationError

from aggregator.access.roles import Caller, Role
from aggregator.api.plans import plan_fleet
from aggregator.api.schemas.plan import FleetPlan, PlannedRemoval, PlanQuery, PlanTotal
from aggregator.dashboard.elements import ListView
from aggregator.dashboard.frame import Source, open_page
from aggregator.dashboard.lists import (
    ROWS_PER_PAGE,
    Action,
    Card,
    Column,
    Empty,
    Layout,
    Numbers,
    Portion,
    Shown,
    card,
    changing,
    each,
    fixed,
)
from aggregator.dashboard.view import View
from aggregator.fleet.slots import SlotsError
from aggregator.store.work_orders import NewWorkOrder, Working, open_work_order

Ask = Callable[[], Awaitable[FleetPlan | str]]
"""Asks for a plan, or tells why there is none."""

PATH = "/plan"
OPEN = Action("work", "Open work orders", "w")
COLUMNS = (
    Column("serial", "Engine", phone="title", is_name=True),
    Column("planned_for", "Comes off", phone="corner"),
    Column("fails_before", "Fails before", phone="none", hint="The probability that it fails before that day"),
    Column("wasted_cycles", "Wasted", phone="right", hint="What it has left on that day, in expectation"),
    Column("loss", "Expected loss", phone="none", hint="Beyond one planned removal at the very end of its life"),
    Column("loss_if_left", "If left on", phone="none", hint="The same if it stays on beyond the last week"),
    Column("site", "Site"),
)
LAYOUT = Layout(
    title="Plan in numbers",
    hides_title=True,
    heading="Engines to come off",
    columns=COLUMNS,
    sorts=("planned_for",),
    empty=Empty(
        "No engine is worth a place in the shop in these weeks",
        ("Work orders that have a day keep it. With more weeks or a larger capacity more engines may be planned for.",),
    ),
    csv="/api/v1/fleet/plan.csv",
)
FIELDS: Mapping[str, tuple[str, str]] = {
    "capacity_per_week": ("Removals per week", 'type="number" min="0" max="1000" required'),
    "unplanned_removal_cost": ("Cost of an unplanned removal", 'type="number" min="0" step="any" required'),
    "planned_removal_cost": ("Cost of a planned removal", 'type="number" min="0" step="any" required'),
    "wasted_cycle_cost": ("Cost of a wasted cycle", 'type="number" min="0" step="any" required'),
    "weeks": ("Weeks", 'type="number" min="1" max="52" required'),
    "first_day": ("From (today if empty)", 'type="date"'),
    "lead_time_days": ("Days until parts are there", 'type="number" min="0" max="3650"'),
    "site": ("Site (all if empty)", 'type="text" maxlength="64"'),
}
LEAD = "When should which engine come off? Say what the shop can do, and what removals cost in whichever currency."
AT_FIRST = {"weeks": str(PlanQuery.model_fields["weeks"].default), "lead_time_days": "0"}


async def show_plan(source: Source) -> None:
    """Build the page for one browser; a plan stands as it is until it is asked for again, or carried out."""
    given = {name: text for name in FIELDS if (text := source.request.query_params.get(name, "").strip())}
    wanted, trouble = _wanted(given)

    async def ask() -> FleetPlan | str:
        if wanted is None:
            return trouble
        sites = (await source.visitor()).sites(Role.VIEWER)
        try:
            return await plan_fleet(source.centre, sites, wanted)
        except SlotsError as error:
            return f"There is no plan: {error}."

    def build(state: FleetPlan | str, visitor: Caller) -> None:
        TextElement(tag="h1", text="Plan")
        TextElement(tag="p", text=LEAD).classes("sw-lead")
        ui.html(_form(given or AT_FIRST, state if isinstance(state, str) else ""), sanitize=False)
        if isinstance(state, FleetPlan):
            _PlanList(source, urlencode(given), state, ask, visitor)

    await open_page(source, ask, build)


def _wanted(given: Mapping[str, str]) -> tuple[PlanQuery | None, str]:
    """What a form asks for; or nothing, and what is wrong with it."""
    if not given:
        return None, ""
    try:
        return PlanQuery.model_validate(given), ""
    except ValidationError as error:
        return None, "; ".join(_trouble(each["loc"], each["msg"]) for each in error.errors())


def _trouble(location: tuple[int | str, ...], message: str) -> str:
    label, _ = FIELDS.get(str(location[0]) if location else "", ("", ""))
    said = message.removeprefix("Value error, ")
    return f"{label}: {said[:1].lower()}{said[1:]}" if label else said


def _form(given: Mapping[str, str], trouble: str) -> str:
    fields = "".join(
        f'<label>{label}<input name="{name}" value="{escape(given.get(name, ""))}" {kind}></label>'
        for name, (label, kind) in FIELDS.items()
    )
    told = f'<p class="sw-trouble" role="alert">{escape(trouble)}</p>' if trouble else ""
    asked = f"{fields}<button>Plan</button>{told}"
    return f'<form class="sw-panel sw-form" action="{PATH}" aria-label="What to plan">{asked}</form>'


class _PlanList:
    """The list of one open page, and what is done with it."""

    def __init__(self, source: Source, query: str, plan: FleetPlan, ask: Ask, visitor: Caller) -> None:
        self._source, self._query, self._plan, self._ask = source, query, plan, ask
        self._view = View.first(LAYOUT.choices)
        may_act = visitor.sites(Role.TECHNICIAN) != frozenset()
        self._element = ListView(fixed(replace(LAYOUT, actions=(OPEN,) if may_act else ())), self._shown())
        self._element.on("view", self._choose)
        if may_act:
            self._element.on("act", self._act)
        self._said = ui.label().classes("sw-said").props("role=status")

    def _shown(self) -> Shown:
        items, first = self._plan.items, len(self._view.places) * ROWS_PER_PAGE
        rows = [row_of(one) for one in items[first : first + ROWS_PER_PAGE]]
        portion = Portion(rows, self._next_place(), len(items))
        csv = f"{LAYOUT.csv}?{self._query}"
        return changing(
            self._query, csv, self._view, Numbers(cards_of(self._plan), not items), portion, self._source.now()
        )

    def _next_place(self) -> int | None:
        behind = (len(self._view.places) + 1) * ROWS_PER_PAGE
        return behind if behind < len(self._plan.items) else None

    def _choose(self, change: Any) -> None:
        self._view = self._view.changed(change.args, LAYOUT.choices, self._next_place())
        self._element.show(self._shown())

    async def _act(self, wanted: Any) -> None:
        keys = wanted.args.get("keys")
        if wanted.args.get("action") != OPEN.key or not isinstance(keys, list):
            return
        visitor, chosen = await self._source.visitor(), {str(key) for key in keys[:ROWS_PER_PAGE]}
        removals = [one for one in self._plan.items if one.serial in chosen]
        said = await asyncio.to_thread(carry_out, self._source, visitor, removals)
        self._source.forget()
        plan = await self._ask()
        if isinstance(plan, FleetPlan):
            self._plan, self._view = plan, View.first(LAYOUT.choices)
            self._element.show(self._shown())
        self._said.set_text(said)


def carry_out(source: Source, visitor: Caller, removals: Sequence[PlannedRemoval]) -> str:
    """Open a work order for each removal, or give the day to the one that there is; and say what has come of it."""
    store, now = source.centre.store, source.now()

    def do(removal: PlannedRemoval) -> None:
        if removal.work_order_id is not None:
            Working(store, now, by=visitor).edit(removal.work_order_id, {"planned_for": removal.planned_for})
            return
        reason = (
            f"by plan: it fails before {removal.planned_for} with a probability of {_percent(removal.fails_before)}, "
            f"and {removal.wasted_cycles:.0f} cycles are wasted"
        )
        new = NewWorkOrder(removal.serial, (), {"planned_for": removal.planned_for, "reason": reason})
        open_work_order(store, new, now, by=visitor)

    return each(removals, do)


def row_of(removal: PlannedRemoval) -> Shown:
    """One removal."""
    order = removal.work_order_id
    return {
        "key": removal.serial,
        "name": f"engine {removal.serial}",
        "href": f"/engines/{removal.serial}",
        "serial": removal.serial,
        "planned_for": removal.planned_for.isoformat(),
        "fails_before": _percent(removal.fails_before),
        "wasted_cycles": f"{removal.wasted_cycles:.0f} cycles",
        "loss": _money(removal.loss),
        "loss_if_left": _money(removal.loss_if_left),
        "site": removal.site,
        "notes": {} if order is None else {"serial": f"work order {order}"},
    }


def cards_of(plan: FleetPlan) -> list[Card]:
    """What the plan and the two simpler policies come to, and how many engines there is no choice for."""
    totals = {name: getattr(plan.totals, name) for name in type(plan.totals).model_fields}
    cards = [card(name, _money(total.loss), _note(total)) for name, total in totals.items()]
    left_out = {name.replace("_", " "): count for name, count in plan.engines.left_out if count}
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return [*cards, card("left_out", sum(left_out.values()), reasons or "all others can be planned for")]


def _note(total: PlanTotal) -> str:
    return f"expected loss: {total.planned_removals} planned, {total.unplanned_removals:.1f} fail"


def _money(amount: float) -> str:
    """An amount in whichever currency; of small ones what is behind the point.

    >>> _money(1234567.8), _money(0.042)
    ('1,234,568', '0.04')
    """
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2f}"


def _percent(probability: float) -> str:
    """A probability; one that is not 0 or 1 is not said to be.

    >>> _percent(0.004), _percent(0.123), _percent(0.999)
    ('< 1 %', '12 %', '> 99 %')
    """
    if 0 < probability < 0.005 or 0.995 < probability < 1:
        return "< 1 %" if probability < 0.5 else "> 99 %"
    return f"{probability * 100:.0f} %"
