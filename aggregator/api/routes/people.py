"""People with an account, for admins: of all sites for everybody, of some sites for those who act only there."""

from typing import Annotated

from fastapi import HTTPException, Path, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.passwords import hash_password
from aggregator.access.roles import Caller, Role, grants_of
from aggregator.access.roles import Grant as AccessGrant
from aggregator.api.deps import AdminDep, AdminInPersonDep, CentreDep, SessionDep
from aggregator.api.etags import ETAG, IfMatch, seen_versions, tag
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import edit_problem, not_at, problems
from aggregator.api.resources import resource
from aggregator.api.schemas.access import NewPerson, Person, PersonChange, PersonName
from aggregator.api.selection import FieldsQuery
from aggregator.store import people
from aggregator.store.people import NoSuchPersonError, find_person, list_people
from aggregator.store.reads import Session
from shared.errors import SpoolwatchError

_PLACE: TypeAdapter[str] = TypeAdapter(PersonName)
Who = Annotated[PersonName, Path(description="The name of a person.")]

router = resource("access", "/people")


@router.get("", summary="List people", responses=problems(422))
def read_people(
    caller: AdminDep,
    session: SessionDep,
    query: Annotated[PageQuery[Person], Query()],
    request: Request,
    response: Response,
) -> Page[Person]:
    """People by name, those that are disabled included."""
    after = place_of(query.cursor, _PLACE) or ""
    theirs = [one for one in list_people(session) if one.name > after and caller.administers(grants_of(one.grants))]
    kept, last = take(theirs, query.limit)
    cursor = None if last is None else cursor_of(last.name)
    link_next(request, response, cursor)
    return Page(items=[Person.of(one) for one in kept], next=cursor)


@router.post("", summary="Add a person", status_code=201, responses={201: {"headers": ETAG}, **problems(409, 422)})
def add(new: NewPerson, caller: AdminInPersonDep, centre: CentreDep, response: Response) -> Person:
    """Add a person with a password, who from then on can log in."""
    grants = tuple(grant.plain for grant in new.grants)
    check_administers(caller, grants)
    try:
        people.add_person(centre.store, new.name, hash_password(new.password), grants, caller, centre.now())
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.authenticator.forget()
    response.headers["Location"] = f"/api/v1/people/{new.name}"
    with centre.store.session() as session:
        return _show(session, new.name, caller, response)


@router.get("/{name}", summary="Look at one person", responses={200: {"headers": ETAG}, **problems(404, 422)})
def read_person(
    name: Who, caller: AdminDep, session: SessionDep, response: Response, _: Annotated[FieldsQuery[Person], Query()]
) -> Person:
    """What a person may do, and where."""
    return _show(session, name, caller, response)


@router.patch("/{name}", summary="Change a person", responses={200: {"headers": ETAG}, **problems(404, 409, 412, 422)})
def change(
    name: Who,
    change: PersonChange,
    caller: AdminInPersonDep,
    centre: CentreDep,
    response: Response,
    if_match: IfMatch = None,
) -> Person:
    """Give a person another password or other grants, or disable them; there is always an admin of all sites left.

    The API keys that they made end where they could not make them any more.
    """
    grants = None if change.grants is None else tuple(grant.plain for grant in change.grants)
    if grants is not None:
        check_administers(caller, grants)
    password_hash = None if change.password is None else hash_password(change.password)
    wanted = people.PersonChange(password_hash, grants, change.disabled)
    try:
        people.change_person(centre.store, name, wanted, caller, centre.now(), seen_versions(if_match))
    except NoSuchPersonError as error:
        raise HTTPException(404, str(error)) from error
    except SpoolwatchError as error:
        raise edit_problem(error) from error
    centre.authenticator.forget()
    with centre.store.session() as session:
        return _show(session, name, caller, response)


def check_administers(caller: Caller, grants: tuple[AccessGrant, ...]) -> None:
    """Make sure that somebody may give these grants.

    Raises:
        HTTPException: 403, some are for sites that they do not administer.
    """
    if not caller.administers(grants):
        foreign = next((grant.site for grant in grants if not caller.may(Role.ADMIN, grant.site)), "*")
        raise not_at(foreign, Role.ADMIN)


def _show(session: Session, name: str, caller: Caller, response: Response) -> Person:
    person = find_person(session, name)
    if person is None or not caller.administers(grants_of(person.grants)):
        raise HTTPException(404, f"There is no person {name} among those that you look after.")
    tag(response, person)
    return Person.of(person)
