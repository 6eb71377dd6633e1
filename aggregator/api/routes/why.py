"""Why an engine is judged as it is."""

from typing import Annotated

from fastapi import APIRouter, Query

from aggregator.api.deps import Serial, SessionDep, VisibleSites
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.schemas.history import ModelReference
from aggregator.api.schemas.why import ChannelMovement, EngineWhy, RowSpan
from aggregator.api.selection import FieldsQuery
from aggregator.fleet.movement import LATEST_ROWS, Row, movements
from aggregator.released import features_of
from aggregator.store.reads.engine import end_rows, find_engine

router = APIRouter(prefix="/engines/{serial}", tags=["engines"])


@router.get("/why", summary="Which channels have moved", responses=problems(404, 422))
def read_why(
    serial: Serial, sites: VisibleSites, session: SessionDep, _: Annotated[FieldsQuery[EngineWhy], Query()]
) -> EngineWhy:
    """The channels by how far they have moved from the engine's own first rows, each row in its operating condition.

    It is told in the way of the model that made the latest prediction: that is what it looks at. What moved far is
    what speaks against the engine, though not how much the network makes of it.
    """
    detail = find_engine(session, sites, serial)
    if detail is None:
        raise no_such_engine(serial)
    if detail.current is None or detail.prediction is None:
        return EngineWhy.nothing("There is no prediction yet.")
    place, model = detail.current.installation_id, detail.prediction[1]
    reference = ModelReference(name=model.name, version=model.version, sha256=model.sha256)
    features = features_of(model.name, model.version, model.sha256)
    if features is None:
        return EngineWhy.nothing("The model of the latest prediction is not installed at the centre.", place, reference)
    wanted = features.spec.baseline_rows
    first, latest = (
        [Row(row.cycle, row.channels) for row in end_rows(session, detail.current, limit, newest=newest)]
        for limit, newest in ((wanted, False), (LATEST_ROWS, True))
    )
    if len(first) < wanted or len(latest) < wanted or latest[-1].cycle <= first[-1].cycle:
        reason = f"There are no more rows than the {wanted} of the baseline, so nothing to compare them with."
        return EngineWhy.nothing(reason, place, reference)
    return EngineWhy(
        installation_id=place,
        model=reference,
        baseline=RowSpan.of(first),
        present=RowSpan.of(latest),
        channels=[ChannelMovement.of(one) for one in movements(features, first, latest)],
        unknown=None,
    )
