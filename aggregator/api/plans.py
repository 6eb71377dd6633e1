"""Plans for whoever asks, through the API or on the page: read from the store, and made off the event loop."""

import asyncio

from aggregator.access.roles import Sites
from aggregator.api.deps import Centre
from aggregator.api.schemas.plan import FleetPlan, PlanQuery
from aggregator.fleet.lives import Lives
from aggregator.fleet.planning import make_plan
from aggregator.store.reads.fleet import EngineFilter, sites_of
from aggregator.store.reads.vitals import read_lives
from aggregator.store.reads.work_orders import list_unfinished


async def plan_fleet(centre: Centre, sites: Sites, wanted: PlanQuery) -> FleetPlan:
    """Plan removals of the engines in operation at these sites.

    Raises:
        SlotsError: it took too long.
    """
    engines = EngineFilter(site=wanted.site, type=wanted.type, status="operational")

    def read() -> Lives:
        with centre.store.session() as session:
            return read_lives(session, sites, engines, centre.now())

    lives = await centre.lives.answer((sites, engines), read)
    return await asyncio.to_thread(_plan, centre, sites, wanted, lives)


def _plan(centre: Centre, sites: Sites, wanted: PlanQuery, lives: Lives) -> FleetPlan:
    with centre.store.session() as session:
        orders = list_unfinished(session, sites, wanted.site, wanted.type)
        places = sites_of(session, sites)
    now = centre.now()
    shop = wanted.shop(now.date())
    days = {one.engine_id: one.day for one in reversed(orders) if one.day is not None}
    undated = {one.engine_id: one.id for one in reversed(orders) if one.day is None}
    plan = make_plan(lives, days, shop, wanted.costs(), now)
    return FleetPlan.of(plan, places, undated, shop.ends)
