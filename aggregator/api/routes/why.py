"""Why an engine is judged as it is."""

from typing import Annotated

from fastapi import Query

from aggregator.api.deps import Serial, SessionDep, VisibleSites
from aggregator.api.problems import no_such_engine, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.history import ModelReference
from aggregator.api.schemas.why import ChannelMovement, EngineWhy, RowSpan
from aggregator.api.selection import FieldsQuery
from aggregator.explaining import explain
from aggregator.store.reads.engine import find_engine

router = resource("engines", "/engines/{serial}")


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
    told = explain(session, detail)
    model = None if detail.prediction is None else detail.prediction[1]
    return EngineWhy(
        installation_id=None if detail.current is None else detail.current.installation_id,
        model=None if model is None else ModelReference(name=model.name, version=model.version, sha256=model.sha256),
        baseline=RowSpan.of(told.first) if told.first else None,
        present=RowSpan.of(told.latest) if told.latest else None,
        channels=[ChannelMovement.of(one) for one in told.movements],
        unknown=told.unknown,
    )
