"""The agents of a play: one process, gateway, outbox and row file per engine."""

import json
from collections.abc import Iterator
from contextlib import closing

from edge_agent.outbox import Outbox, OutboxError
from edge_agent.status import OUTBOX_FILE
from simulators.centre import CentreAddress
from simulators.engines import PlayedEngine
from simulators.folder import PlayFolder
from simulators.programs import Programs

_SETTINGS = """\
site = {site}
gateway = {gateway}
data_dir = {data_dir}
{centre_key}engines = [{{ serial = {serial}, unit = {unit} }}]

[source]
kind = "file"
path = {rows}
follow = true

[broker]
host = {host}
port = {port}
mqtt_version = {mqtt_version}

[delivery]
heartbeat_interval_s = 5
"""


def gateway_of(engine: PlayedEngine) -> str:
    """The name of the gateway that watches an engine."""
    return f"gw-{engine.serial}"


def start_agent(
    programs: Programs, folder: PlayFolder, site: str, engine: PlayedEngine, address: CentreAddress
) -> None:
    """Start the agent of one engine, with settings of its own."""
    gateway = gateway_of(engine)
    settings = folder.agents / gateway / "agent.toml"
    settings.parent.mkdir()
    key = "" if address.command_key is None else f"centre_key = {json.dumps(address.command_key)}\n"
    values = {
        "site": site,
        "gateway": gateway,
        "data_dir": str((folder.agents / gateway).absolute()),
        "serial": engine.serial,
        "unit": engine.unit,
        "rows": str(folder.rows(gateway).absolute()),
        "host": address.broker_host,
        "port": address.broker_port,
        "mqtt_version": address.mqtt_version,
    }
    # Strings and whole numbers are written alike in JSON and TOML.
    settings.write_text(_SETTINGS.format(centre_key=key, **{name: json.dumps(value) for name, value in values.items()}))
    programs.start(gateway, "spoolwatch-agent", "run", "--config", str(settings))


def dropped(folder: PlayFolder) -> int:
    """How many records the agents dropped by policy."""
    return sum(outbox.status().dropped for _, outbox in _outboxes(folder))


def leftovers(folder: PlayFolder) -> list[str]:
    """Says, a line per agent concerned, what stands between the rows it was given and the centre's store."""
    lines = []
    for gateway, outbox in _outboxes(folder):
        status, refused_rows = outbox.status(), outbox.refused_rows()
        if status.unacked or status.dead_letters or status.dropped or refused_rows:
            lines.append(
                f"{gateway}: {status.unacked} records still in the outbox, {status.dead_letters} quarantined by the "
                f"centre, {status.dropped} dropped, {refused_rows} rows refused"
            )
    return lines


def _outboxes(folder: PlayFolder) -> Iterator[tuple[str, Outbox]]:
    for path in sorted(folder.agents.glob(f"*/{OUTBOX_FILE}")):
        try:
            outbox = Outbox(path, read_only=True)
        except OutboxError:
            continue  # its agent is only just making it
        with closing(outbox):
            yield path.parent.name, outbox
