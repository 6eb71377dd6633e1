"""Beside the acks: has the broker let in exactly the gateways that are enrolled, each to its own topics only.

Drives Mosquitto's dynamic security plugin. A client of the plugin is one certificate, its role the topics of its
gateway; to delete the client ends its session at once, and a client that is not there may do nothing.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from aggregator.access.authority import user_of_gateway
from aggregator.store.database import Store
from aggregator.store.enrolment import members
from shared.errors import SpoolwatchError
from shared.topics import CENTRE, EVERY_CENTRE_STATUS, ROOT, GatewayTopic, Kind, every_gateway

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"
POLL_S = 1.0
RETRY_S = 5.0
ANSWER_TIMEOUT_S = 10.0
COMMANDS_AT_ONCE = 50
LISTED_AT_ONCE = 500
ROLE_VERSION = 1
"""Part of the name of every role; to be counted up when what gateways may do changes."""
CENTRE_ROLE = "centre"
GATEWAY_PUBLISHES: tuple[Kind, ...] = ("records", "backfill", "status", "reply")
GATEWAY_READS: tuple[Kind, ...] = ("ack", "status", "command", "engine-desired")
CENTRE_PUBLISHES: tuple[Kind, ...] = ("ack", "command", "engine-desired")

# Another aggregator has done the same.
_HARMLESS = ("Role already exists", "Client already exists", "Client not found")
_USER = re.compile(r"serialNumber=[^,=]+,CN=[^,=]+")

log = structlog.get_logger(__name__)

Send = Callable[[str, bytes], Awaitable[None]]
Command = dict[str, Any]


class BrokerUsersError(SpoolwatchError):
    """The broker did not do what it was asked."""


class BrokerUsers:
    """Compares who is enrolled with who is let in; every replica does, and it does no harm."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: dict[str, asyncio.Future[list[Any]]] = {}

    def take(self, payload: bytes) -> None:
        """Hear what the broker answers to any aggregator."""
        answer = msgspec.json.decode(payload)
        for response in answer.get("responses", ()):
            waiting = self._answers.get(response.get("correlationData", ""))
            if waiting is not None and not waiting.done():
                waiting.set_result(answer["responses"])

    async def run(self, send: Send) -> None:
        """Keep the broker's list over one connection until cancelled."""
        known: Mapping[str, str] | None = None
        while True:
            try:
                # The broker first: what another aggregator lets in meanwhile is then not taken for a stranger.
                known = await self._list(send) if known is None else known
                wanted = await asyncio.to_thread(self._wanted)
                await self._change(send, known, wanted)
                known = wanted
            except Exception as error:  # whatever the store or the broker has, it may be over soon
                log.warning("broker_users_not_set", error=str(error), retry_after_s=RETRY_S)
                known = None
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(POLL_S)

    def _wanted(self) -> Mapping[str, str]:
        """The role of each user that is to be let in."""
        with self._store.session() as session:
            found = members(session, datetime.now(UTC))
        return {user_of_gateway(one.gateway, one.certificate_id): role_of(one.site, one.gateway) for one in found}

    async def _list(self, send: Send) -> Mapping[str, str]:
        users: dict[str, str] = {}
        total, seen = 1, 0
        while seen < total:
            page = {"command": "listClients", "verbose": True, "count": LISTED_AT_ONCE, "offset": seen}
            ((_, data),) = await self._ask(send, [page])
            clients = data.get("clients", [])
            total, seen = data.get("totalCount", 0) if clients else 0, seen + len(clients)
            for client in clients:
                if _USER.fullmatch(client["username"]):
                    users[client["username"]] = ",".join(role["rolename"] for role in client["roles"])
        return users

    async def _change(self, send: Send, known: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        gone = [user for user in known if wanted.get(user) != known[user]]
        new = [user for user in wanted if wanted[user] != known.get(user)]
        commands: list[Command] = [{"command": "deleteClient", "username": user} for user in gone]
        commands += [_create_role(role) for role in dict.fromkeys(wanted[user] for user in new)]
        commands += [
            {"command": "createClient", "username": user, "roles": [{"rolename": wanted[user]}]} for user in new
        ]
        for some in _batches(commands):
            refused = [f"{name}: {error}" for name, error in await self._ask(send, some) if isinstance(error, str)]
            if refused:
                raise BrokerUsersError(f"the broker's dynamic security refuses {'; '.join(refused)}")
        if commands:
            log.info("broker_users_set", let_in=len(new), shut_out=len(gone))

    async def _ask(self, send: Send, commands: Sequence[Command]) -> list[tuple[str, Any]]:
        """Have commands done; of each its name, and its data or why it was refused."""
        name = str(uuid4())
        self._answers[name] = asyncio.get_running_loop().create_future()
        try:
            body = {"commands": [command | {"correlationData": name} for command in commands]}
            await send(CONTROL, msgspec.json.encode(body))
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                responses = await self._answers[name]
        except TimeoutError as error:
            raise BrokerUsersError(
                f"nobody answers at {CONTROL}; does the broker load mosquitto_dynamic_security.so, and may this "
                "aggregator use it?"
            ) from error
        finally:
            del self._answers[name]
        return [
            (one["command"], one["error"] if one.get("error", _HARMLESS[0]) not in _HARMLESS else one.get("data"))
            for one in responses
        ]


def role_of(site: str, gateway: str) -> str:
    """What the role of a gateway is called."""
    return f"gateway.{ROLE_VERSION} {site} {gateway}"


def gateway_acls(site: str, gateway: str) -> list[Command]:
    """What a gateway may do: say what is its own to say, hear what is said to it, and nothing else."""
    reads = [*(str(GatewayTopic(site, gateway, kind)) for kind in GATEWAY_READS), EVERY_CENTRE_STATUS]
    return [
        *_allow("publishClientSend", [str(GatewayTopic(site, gateway, kind)) for kind in GATEWAY_PUBLISHES]),
        *_allow("publishClientReceive", reads),
        *_allow("subscribeLiteral", reads),
    ]


def centre_acls() -> list[Command]:
    """What an aggregator may do."""
    reads = [every_gateway(kind) for kind in GATEWAY_PUBLISHES]
    own_status = f"{ROOT}/{CENTRE}/+/status"
    return [
        *_allow("publishClientSend", [*map(every_gateway, CENTRE_PUBLISHES), own_status, CONTROL]),
        *_allow("publishClientReceive", [*reads, RESPONSE]),
        *_allow("subscribeLiteral", [*reads, RESPONSE]),
        *_allow("subscribePattern", [f"$share/+/{topic}" for topic in reads]),
    ]


def first_configuration(users: Sequence[str]) -> bytes:
    """The plugin's file for a broker that knows aggregators only; from then on they keep it."""
    nothing = {"publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True}
    configuration = {
        "defaultACLAccess": nothing,
        "roles": [{"rolename": CENTRE_ROLE, "acls": centre_acls()}],
        "clients": [{"username": user, "roles": [{"rolename": CENTRE_ROLE}]} for user in users],
    }
    return msgspec.json.format(msgspec.json.encode(configuration))


def _create_role(role: str) -> Command:
    _, site, gateway = role.split(" ")
    return {"command": "createRole", "rolename": role, "acls": gateway_acls(site, gateway)}


def _allow(kind: str, topics: Sequence[str]) -> list[Command]:
    return [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for topic in topics]


def _batches(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    for begin in range(0, len(commands), COMMANDS_AT_ONCE):
        yield commands[begin : begin + COMMANDS_AT_ONCE]
