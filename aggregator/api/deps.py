"""What routes need of the program around them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Path, Request

from aggregator.api.schemas.names import Name
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store
from aggregator.store.reads import Session


@dataclass(frozen=True, slots=True)
class Centre:
    """The parts of the aggregator that the API shows; ``now`` is the clock, aware UTC."""

    store: Store
    ingest: IngestStatus
    now: Callable[[], datetime]


# Where nothing waits, these are async: what is not, goes to another thread and back, which takes longest beside ingest.


async def centre_of(request: Request) -> Centre:
    """The parts that ``create_app`` was given."""
    return cast(Centre, request.app.state.centre)


CentreDep = Annotated[Centre, Depends(centre_of)]


def _session(centre: CentreDep) -> Iterator[Session]:
    with centre.store.session() as session:
        yield session


async def _now(centre: CentreDep) -> datetime:
    return centre.now()


SessionDep = Annotated[Session, Depends(_session)]
NowDep = Annotated[datetime, Depends(_now)]
Serial = Annotated[Name, Path(description="The serial of a registered engine.")]
