"""No read asks the database once per engine: three engines cost as many statements as thirty."""

import pytest
from sqlalchemy import event

from aggregator.fleet.work_orders import Conclusion, Outcome
from aggregator.store.work_orders import NewWorkOrder, Working, open_work_order

PATHS = (
    "/api/v1/fleet?type=turbofan",
    "/api/v1/fleet/due?before=2027-01-01",
    "/api/v1/fleet/plan?capacity_per_week=3&unplanned_removal_cost=5&planned_removal_cost=1&wasted_cycle_cost=0",
    "/api/v1/engines?sort=risk",
    "/api/v1/engines?liveness=online",
    "/api/v1/engines/E1",
    "/api/v1/engines/E1/telemetry",
    "/api/v1/engines/E1/predictions",
    "/api/v1/engines/E1/telemetry/buckets",
    "/api/v1/engines/E1/predictions/buckets",
    "/api/v1/gateways",
    "/api/v1/installations",
    "/api/v1/predictions?model=turbofan",
    "/api/v1/models",
    "/api/v1/quarantine",
    "/api/v1/missing",
    "/api/v1/audit",
    "/api/v1/alarms",
    "/api/v1/alarms?engine=E1",
)
OF_WORK = ("/api/v1/work-orders", "/api/v1/models/outcomes", "/api/v1/alarm-rules/outcomes")
STATEMENTS_MAX = 12


@pytest.fixture
def statements(store):
    """Every statement that was run so far."""
    found = []

    def see(connection, cursor, statement, *_):
        found.append(statement)

    event.listen(store.engine, "before_cursor_execute", see)
    return found


def _fly(recorder, engines):
    for number in engines:
        recorder.engine(f"E{number}", gateway=f"gw-{number}")
        recorder.send(*(recorder.prediction(f"E{number}", c, q50=10.0) for c in (2, 3, 4)), gateway=f"gw-{number}")
        recorder.status(gateway=f"gw-{number}")
        recorder.garbage(body=f"no {number}".encode(), gateway=f"gw-{number}")


@pytest.mark.parametrize("path", PATHS)
async def test_a_read_takes_as_many_statements_for_many_engines_as_for_few(
    path, app, client, recorder, statements, clock
):
    counts = []
    for engines in (range(1, 4), range(4, 31)):
        _fly(recorder, engines)
        clock.advance(2)
        app.state.centre.fleet_changed()  # what was kept is not told
        statements.clear()
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        counts.append(len(statements))
    assert counts[0] == counts[1] <= STATEMENTS_MAX


async def test_a_read_takes_as_many_statements_for_much_work_as_for_little(client, recorder, statements, clock):
    counts = []
    for engines in (range(1, 3), range(3, 9)):
        _fly(recorder, engines)
        for number in engines:
            order = open_work_order(recorder.store, NewWorkOrder(f"E{number}", (), {"reason": "noise"}), clock())
            Working(recorder.store, clock()).finish(order, Conclusion(Outcome.FAILED, clock(), cycle=4))
        clock.advance(2)
        statements.clear()
        for path in OF_WORK:
            assert (await client.get(path)).status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1] <= STATEMENTS_MAX
