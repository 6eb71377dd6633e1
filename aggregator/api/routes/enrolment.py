"""Enrolment: people make tokens and revoke; gateways exchange a token, and later a certificate, for a certificate."""

from collections.abc import Callable
from typing import Annotated

import structlog
from fastapi import Depends, HTTPException, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from aggregator.access.authority import SigningRequestError
from aggregator.api.deps import OPEN_TO_ALL, AddressDep, CentreDep, EngineerDep, NowDep, SessionDep, VisibleSites
from aggregator.api.problems import edit_problem, invalid, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.enrolment import (
    Certificate,
    CertificateAuthority,
    Enrolment,
    EnrolmentRequest,
    MadeToken,
    RenewalRequest,
)
from aggregator.api.schemas.names import Name
from aggregator.api.selection import FieldsQuery
from aggregator.store.enrolment import Enrolled, EnrolmentError, certificates_of
from aggregator.store.reads.gateways import find_gateway_at
from aggregator.store.registry import NoSuchGatewayError, RegistryError, key_of
from shared.settings import is_loopback

log = structlog.get_logger(__name__)

GatewayName = Annotated[Name, Path(description="The name of a registered gateway.")]

router = resource("gateways")


async def _private(request: Request, centre: CentreDep, address: AddressDep) -> None:
    """Take few requests of each address, and none that others on the way could read.

    Raises:
        HTTPException: 403 or 429.
    """
    await centre.enrolments.take(address)
    if request.url.scheme != "https" and not is_loopback(address):
        raise HTTPException(
            403, "Enrolment over a network takes https: set api.tls_cert_file and api.tls_key_file, or use a TLS proxy."
        )


_OPEN = [OPEN_TO_ALL, Depends(_private)]


@router.post(
    "/gateways/{name}/enrolment-tokens",
    summary="Make an enrolment token",
    status_code=201,
    responses=problems(404, 409, 422),
)
def invite(name: GatewayName, caller: EngineerDep, centre: CentreDep, response: Response) -> MadeToken:
    """Make a one-time token by which a registered gateway may enrol; those made before are good for nothing.

    Give it to `spoolwatch-agent enroll` on the gateway. It carries the fingerprint of the certificate authority here,
    by which the gateway knows this centre without a trust store.
    """
    try:
        invitation = centre.enrolment.invite(name, caller)
    except RegistryError as error:
        raise _not_here(error) from error
    response.headers["Cache-Control"] = "no-store"
    return MadeToken.of(invitation)


@router.get("/gateways/{name}/certificates", summary="List a gateway's certificates", responses=problems(404, 422))
def read_certificates(
    name: GatewayName,
    sites: VisibleSites,
    session: SessionDep,
    now: NowDep,
    _: Annotated[FieldsQuery[Certificate], Query()],
) -> list[Certificate]:
    """The certificates by which a gateway is let in, the youngest first: one, and while one is renewed, two."""
    found = find_gateway_at(session, sites, name)
    if found is None:
        raise HTTPException(404, f"Gateway {name} is not registered.")
    return [Certificate.model_validate(one.model_dump()) for one in certificates_of(session, key_of(found[0].id), now)]


@router.delete(
    "/gateways/{name}/certificates",
    summary="Revoke a gateway's certificates",
    status_code=204,
    responses=problems(404, 422),
)
def revoke(name: GatewayName, caller: EngineerDep, centre: CentreDep) -> None:
    """Let a gateway in no longer: its connection ends within seconds, and its certificates and tokens stay useless.

    To let it in again, make a token and enrol it anew.
    """
    try:
        centre.enrolment.revoke(name, caller)
    except RegistryError as error:
        raise _not_here(error) from error


@router.get(
    "/enrolment/authority", summary="Whom do gateways trust?", dependencies=_OPEN, responses=problems(403, 422, 429)
)
async def read_authority(
    centre: CentreDep, _: Annotated[FieldsQuery[CertificateAuthority], Query()]
) -> CertificateAuthority:
    """The certificate authority of this centre, for gateways that compare it with the fingerprint in their token."""
    return CertificateAuthority(certificate=centre.enrolment.authority)


@router.post(
    "/enrolment",
    summary="Enrol a gateway",
    status_code=201,
    dependencies=_OPEN,
    responses=problems(401, 403, 409, 422, 429),
)
async def enrol(asked: EnrolmentRequest, centre: CentreDep, address: AddressDep) -> Enrolment:
    """Exchange a one-time token for a client certificate and all that a gateway needs to know."""
    return await _answer(centre, centre.enrolment.enrol, asked.token, asked.signing_request, address)


@router.post(
    "/enrolment/renewals",
    summary="Renew a gateway's certificate",
    status_code=201,
    dependencies=_OPEN,
    responses=problems(401, 403, 409, 422, 429),
)
async def renew(asked: RenewalRequest, centre: CentreDep, address: AddressDep) -> Enrolment:
    """Exchange a certificate that is good for a younger one; those before both are good for nothing from then on."""
    shown = asked.certificate, asked.signing_request, asked.signature
    return await _answer(centre, centre.enrolment.renew, *shown, address)


async def _answer(centre: CentreDep, exchange: Callable[..., Enrolled], *shown: object) -> Enrolment:
    try:
        enrolled = await run_in_threadpool(exchange, *shown)
        return Enrolment.of(enrolled, centre.enrolment.welcome)
    except SigningRequestError as error:
        raise invalid("body", str(error)) from error
    except EnrolmentError as error:
        log.warning("enrolment_refused", address=shown[-1], reason=str(error))
        raise HTTPException(401, str(error)) from error
    except RegistryError as error:
        raise edit_problem(error) from error


def _not_here(error: RegistryError) -> Exception:
    return HTTPException(404, str(error)) if isinstance(error, NoSuchGatewayError) else edit_problem(error)
