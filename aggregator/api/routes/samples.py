"""Raw samples that a gateway was asked for, as CSV."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import HTTPException, Query
from fastapi.responses import StreamingResponse

from aggregator.api.csv_files import CSV, Line, columns_of, harmless, respond, values_of
from aggregator.api.deps import Centre, CentreDep, VisibleSites
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.routes.commands import CommandId, GatewayName
from aggregator.api.selection import FieldsQuery
from aggregator.store.commands import find_command
from aggregator.store.samples import FetchedSample, fetched_channels, next_part

router = resource("gateways", "/gateways/{name}/commands/{id}")


@router.get(
    "/samples.csv",
    summary="Raw samples that were fetched",
    response_class=StreamingResponse,
    responses=CSV | problems(404, 422),
)
def read_samples(
    name: GatewayName,
    id: CommandId,
    centre: CentreDep,
    sites: VisibleSites,
    query: Annotated[FieldsQuery[FetchedSample], Query()],
) -> StreamingResponse:
    """One line per sample, as far as they have come, in the order in which the gateway got them.

    They are kept for a week. `samples` of the command says whether all are here.
    """
    with centre.store.session() as session:
        command = find_command(session, sites, id, name)
        if command is None or command.asked["action"] != "fetch_samples":
            raise HTTPException(404, f"Gateway {name} was asked for no samples by a command {id}.")
        channels = fetched_channels(session, id)
    columns = columns_of(FetchedSample._fields, query.fields)
    if "channels" in columns:
        columns.remove("channels")
    else:
        channels = []

    def lines() -> Iterator[list[Line]]:
        yield [(*columns, *map(harmless, channels))]
        for portion in _portions(centre, id):
            yield [(*values_of(one, columns), *(one.channels.get(channel) for channel in channels)) for one in portion]

    return respond(lines(), f"{command.asked['engine']}-samples.csv")


def _portions(centre: Centre, command_id: str) -> Iterator[list[FetchedSample]]:
    """The samples a part at a time, each in a session of its own: a slow reader holds no transaction open."""
    part = 0
    while True:
        with centre.store.session() as session:
            found = next_part(session, command_id, part)
        if found is None:
            return
        part, portion = found
        yield portion
