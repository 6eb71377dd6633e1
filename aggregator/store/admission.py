"""Lets envelopes of registered gateways in and opens their streams; sets aside what nobody may have sent."""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from sqlalchemy import Connection, select

from aggregator.store.arrivals import EnvelopeArrival, MalformedArrival, Outcome
from aggregator.store.ledger import Parcel, open_earlier_streams, open_streams
from aggregator.store.quarantine import SetAside, record_set_aside, set_aside
from aggregator.store.tables import Gateway, core
from shared.errors import TopicError
from shared.topics import GatewayTopic

_gateway = core(Gateway)

_seq = attrgetter("seq")

Registered = dict[str, tuple[int, str]]


def admit(
    connection: Connection, envelopes: Sequence[EnvelopeArrival], outcome: Outcome, *, redriven: bool = False
) -> list[Parcel]:
    """Gather what came of each stream of registered gateways; records of others are answered as quarantined.

    What is ``redriven`` came in the past, maybe before streams that are here.
    """
    gateways = _find_gateways(connection, {envelope.topic.gateway for envelope in envelopes})
    known: dict[tuple[int, str], list[EnvelopeArrival]] = {}
    for envelope in envelopes:
        reason = _why_strange(envelope.topic, gateways)
        if reason is None:
            key = (gateways[envelope.topic.gateway][0], envelope.stream_id)
            known.setdefault(key, []).append(envelope)
        else:
            _turn_away(connection, envelope, reason, outcome)
    if not known:
        return []
    if redriven:
        first_seen = {key: min(one.received_at for one in of_stream) for key, of_stream in known.items()}
        streams = open_earlier_streams(connection, first_seen)
    else:
        streams = open_streams(connection, known, envelopes[0].received_at)
    for key, of_stream in known.items():
        streams[key].answer = outcome.answer(of_stream[0].topic, of_stream[0].stream_id)
    return [
        Parcel(streams[key], sorted((entry for one in of_stream for entry in one.entries), key=_seq))
        for key, of_stream in known.items()
    ]


def keep_malformed(connection: Connection, arrivals: Sequence[MalformedArrival], outcome: Outcome) -> None:
    """Set messages aside that cannot be answered."""
    set_aside(connection, [_malformed(arrival) for arrival in arrivals])
    if arrivals:
        outcome.count_quarantined(len(arrivals), arrivals[0].reason)


def _find_gateways(connection: Connection, names: Iterable[str]) -> Registered:
    query = select(_gateway.c.name, _gateway.c.id, _gateway.c.site).where(_gateway.c.name.in_(list(names)))
    return {name: (gateway_id, site) for name, gateway_id, site in connection.execute(query)}


def _why_strange(topic: GatewayTopic, gateways: Registered) -> str | None:
    if topic.gateway not in gateways:
        return f"gateway {topic.gateway} is not registered"
    site = gateways[topic.gateway][1]
    if site != topic.site:
        return f"gateway {topic.gateway} is registered at site {site}, not at {topic.site}"
    return None


def _turn_away(connection: Connection, envelope: EnvelopeArrival, reason: str, outcome: Outcome) -> None:
    topic = envelope.topic
    set_aside(connection, [record_set_aside(entry, envelope.stream_id, reason) for entry in envelope.entries])
    answer = outcome.answer(topic, envelope.stream_id)
    answer.quarantined |= {entry.seq: reason for entry in envelope.entries}
    outcome.count_quarantined(len(envelope.entries), reason)


def _malformed(arrival: MalformedArrival) -> SetAside:
    try:
        topic = GatewayTopic.parse(arrival.topic)
        site, gateway = topic.site, topic.gateway
    except TopicError:
        site = gateway = ""
    return SetAside(
        topic=arrival.topic,
        site=site,
        gateway=gateway,
        stream_id=None,
        seq=None,
        reason=arrival.reason,
        body=arrival.body,
        received_at=arrival.received_at,
    )
