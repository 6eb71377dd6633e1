"""Who may connect to the broker: tokens made and used, certificates given and taken back; each is in the audit log."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete
from sqlmodel import Session, col, func, select

from aggregator.access.authority import Issued
from aggregator.access.opaque import digest_of, is_secret
from aggregator.access.roles import Caller
from aggregator.store.audit import Change, audit
from aggregator.store.database import Store
from aggregator.store.registry import key_of, lock_gateway
from aggregator.store.tables import Engine, EnrolmentToken, Gateway, GatewayCertificate, Installation
from shared.enrolment import EnrolmentToken as TokenText
from shared.errors import SpoolwatchError

Sign = Callable[[str], Issued]
"""Makes a certificate for the gateway of this name."""


class EnrolmentError(SpoolwatchError):
    """A gateway is not let in, by what it has shown."""


class Member(NamedTuple):
    """A certificate that is let in."""

    gateway: str
    site: str
    certificate_id: str


class Enrolled(NamedTuple):
    """A gateway that has got a certificate, and the serials of the engines that hang at it."""

    gateway: str
    site: str
    engines: Sequence[str]
    certificate: Issued


def keep_token(store: Store, name: str, token: TokenText, expires_at: datetime, by: Caller, now: datetime) -> None:
    """Let a gateway enrol by a token that was drawn, in the place of any before.

    Raises:
        NoSuchGatewayError: the gateway is not registered, or elsewhere than where whoever asks is an engineer.
    """
    with store.session(writes=True) as session:
        gateway = lock_gateway(session, name, by)
        _forget_token(session, gateway)
        row = EnrolmentToken(
            gateway_id=key_of(gateway.id), id=token.id, digest=digest_of(token.text), expires_at=expires_at
        )
        session.add(row)
        after = {"token": token.id, "expires_at": expires_at.isoformat()}
        audit(session, by, now, Change("gateway.invite", f"gateway {name}", gateway.site, after=after))
        session.commit()


def enrol(store: Store, token: TokenText, sign: Sign, address: str | None, now: datetime) -> Enrolled:
    """Use a token up and give its gateway a certificate, the only one that is then let in.

    Raises:
        EnrolmentError: the token is unknown, used or expired.
        SigningRequestError: as ``sign`` raises it; the token is not used up then.
    """
    with store.session(writes=True) as session:
        row = session.exec(select(EnrolmentToken).where(EnrolmentToken.id == token.id).with_for_update()).one_or_none()
        # An unknown id costs the same comparison as a known one.
        genuine = is_secret(token.text, row.digest if row is not None else digest_of(""))
        if row is None or not genuine or row.expires_at <= now:
            raise EnrolmentError("this token is not known here, was used already, or has expired; ask for another")
        gateway = session.get_one(Gateway, row.gateway_id)
        _forget_token(session, gateway)
        _forget_certificates(session, gateway)
        enrolled = _admit(session, gateway, sign, now)
        _note(session, Change("gateway.enrol", *_subject(gateway), after=_shown(enrolled)), address, now)
        session.commit()
    return enrolled


def renew(store: Store, name: str, certificate_id: str, sign: Sign, address: str | None, now: datetime) -> Enrolled:
    """Give a gateway another certificate for the one that it has; both are let in, and none before them.

    Raises:
        EnrolmentError: the certificate was revoked or replaced.
    """
    with store.session(writes=True) as session:
        found = session.exec(
            select(GatewayCertificate, Gateway)
            .join(Gateway, col(Gateway.id) == GatewayCertificate.gateway_id)
            .where(GatewayCertificate.id == certificate_id, Gateway.name == name)
            .with_for_update()
        ).one_or_none()
        if found is None:
            raise EnrolmentError(f"this certificate of gateway {name} was revoked or replaced; enrol anew")
        gateway = found[1]
        _forget_certificates(session, gateway, but=certificate_id)
        enrolled = _admit(session, gateway, sign, now)
        _note(session, Change("gateway.renew", *_subject(gateway), after=_shown(enrolled)), address, now)
        session.commit()
    return enrolled


def revoke(store: Store, name: str, by: Caller, now: datetime) -> None:
    """Let a gateway in no longer, and not enrol either; to revoke it once more changes nothing.

    Raises:
        NoSuchGatewayError: it is not registered, or elsewhere than where whoever asks is an engineer.
    """
    with store.session(writes=True) as session:
        gateway = lock_gateway(session, name, by)
        ended = _forget_token(session, gateway) + _forget_certificates(session, gateway)
        if ended:
            audit(session, by, now, Change("gateway.revoke", *_subject(gateway)))
        session.commit()


def members(session: Session, now: datetime) -> Sequence[Member]:
    """Read every certificate that is let in now."""
    query = (
        select(Gateway.name, Gateway.site, GatewayCertificate.id)
        .join(GatewayCertificate, col(GatewayCertificate.gateway_id) == Gateway.id)
        .where(GatewayCertificate.expires_at > now)
    )
    return [Member(*row) for row in session.exec(query)]


def certificates_of(session: Session, gateway_id: int, now: datetime) -> Sequence[GatewayCertificate]:
    """Read a gateway's certificates that are let in, the youngest first."""
    query = (
        select(GatewayCertificate)
        .where(GatewayCertificate.gateway_id == gateway_id, GatewayCertificate.expires_at > now)
        .order_by(col(GatewayCertificate.issued_at).desc())
    )
    return session.exec(query).all()


def list_expiries(session: Session) -> Sequence[tuple[str, str, datetime | None]]:
    """Read every gateway's name and site, and until when it is let in; None where it is not."""
    query = (
        select(Gateway.name, Gateway.site, func.max(GatewayCertificate.expires_at))
        .join(GatewayCertificate, col(GatewayCertificate.gateway_id) == Gateway.id, isouter=True)
        .group_by(col(Gateway.id))
        .order_by(Gateway.name)
    )
    return session.exec(query).all()


def _admit(session: Session, gateway: Gateway, sign: Sign, now: datetime) -> Enrolled:
    issued = sign(gateway.name)
    session.add(
        GatewayCertificate(id=issued.id, gateway_id=key_of(gateway.id), issued_at=now, expires_at=issued.expires_at)
    )
    serials = session.exec(
        select(Engine.serial)
        .join(Installation, col(Installation.engine_id) == Engine.id)
        .where(Installation.gateway_id == gateway.id, col(Installation.installed_to).is_(None))
        .order_by(Installation.position)
    ).all()
    return Enrolled(gateway.name, gateway.site, serials, issued)


def _forget_token(session: Session, gateway: Gateway) -> int:
    statement = delete(EnrolmentToken).where(col(EnrolmentToken.gateway_id) == gateway.id)
    return session.connection().execute(statement).rowcount


def _forget_certificates(session: Session, gateway: Gateway, but: str = "") -> int:
    statement = delete(GatewayCertificate).where(
        col(GatewayCertificate.gateway_id) == gateway.id, col(GatewayCertificate.id) != but
    )
    return session.connection().execute(statement).rowcount


def _subject(gateway: Gateway) -> tuple[str, str]:
    return f"gateway {gateway.name}", gateway.site


def _shown(enrolled: Enrolled) -> dict[str, str]:
    return {"certificate": enrolled.certificate.id, "expires_at": enrolled.certificate.expires_at.isoformat()}


def _note(session: Session, change: Change, address: str | None, now: datetime) -> None:
    """Write down what a gateway did by itself."""
    audit(session, Caller(change.subject, (), address), now, change)
