"""MQTT topics of the contract: ``spoolwatch/v1/<site>/<gateway>/<kind>``, built and parsed here only."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from shared.errors import TopicError

Kind = Literal["records", "backfill", "status", "ack", "command", "reply", "engine-desired"]

ROOT = "spoolwatch/v1"
CENTRE = "centre"
KINDS: frozenset[str] = frozenset(get_args(Kind))

_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_level(name: str) -> str:
    """Return ``name`` if it can be a site, gateway or replica name.

    Raises:
        TopicError: it is not 1 to 64 letters, digits, ``_``, ``.`` or ``-``, or does not start with a letter or digit.
    """
    if not _LEVEL.fullmatch(name):
        raise TopicError(
            f"{name!r} is not a valid name: use 1 to 64 letters, digits, '_', '.' or '-', "
            "starting with a letter or digit"
        )
    return name


def check_site(name: str) -> str:
    """Return ``name`` if it can be a site name; ``centre`` is reserved.

    Raises:
        TopicError: see ``check_level``; or the name is reserved.
    """
    if check_level(name) == CENTRE:
        raise TopicError(f"the site name {CENTRE!r} is reserved for the aggregator; choose another")
    return name


@dataclass(frozen=True, slots=True)
class GatewayTopic:
    """One topic of one gateway.

    >>> str(GatewayTopic("hamburg", "gw-7", "ack"))
    'spoolwatch/v1/hamburg/gw-7/ack'
    >>> GatewayTopic.parse("spoolwatch/v1/hamburg/gw-7/ack")
    GatewayTopic(site='hamburg', gateway='gw-7', kind='ack')
    """

    site: str
    gateway: str
    kind: Kind

    def __post_init__(self) -> None:
        check_site(self.site)
        check_level(self.gateway)
        if self.kind not in KINDS:
            raise TopicError(f"{self.kind!r} is not a topic kind; known: {', '.join(sorted(KINDS))}")

    def __str__(self) -> str:
        return f"{ROOT}/{self.site}/{self.gateway}/{self.kind}"

    @classmethod
    def parse(cls, topic: str) -> "GatewayTopic":
        """Take a topic apart.

        Raises:
            TopicError: it is not a gateway topic of this version of the contract.
        """
        levels = topic.split("/")
        if len(levels) != 5 or "/".join(levels[:2]) != ROOT:
            raise TopicError(f"{topic!r} is not of the form {ROOT}/<site>/<gateway>/<kind>")
        return cls(levels[2], levels[3], levels[4])  # type: ignore[arg-type]  # checked in __post_init__


def every_gateway(kind: Kind) -> str:
    """The subscription filter for one kind of topic of all gateways.

    >>> every_gateway("records")
    'spoolwatch/v1/+/+/records'
    """
    return f"{ROOT}/+/+/{kind}"


def centre_status(replica: str) -> str:
    """The topic on which one aggregator replica says whether it accepts records.

    >>> centre_status("a")
    'spoolwatch/v1/centre/a/status'
    """
    return f"{ROOT}/{CENTRE}/{check_level(replica)}/status"


EVERY_CENTRE_STATUS = f"{ROOT}/{CENTRE}/+/status"
