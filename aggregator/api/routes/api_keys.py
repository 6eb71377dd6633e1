"""Keys for programs, for admins of the sites that a key is for."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import HTTPException, Path, Query, Request, Response
from pydantic import TypeAdapter

from aggregator.access.opaque import draw_api_key
from aggregator.access.roles import grants_of
from aggregator.api.deps import AdminDep, AdminInPersonDep, CentreDep, SessionDep
from aggregator.api.paging import Page, PageQuery, cursor_of, link_next, place_of, take
from aggregator.api.problems import problems
from aggregator.api.resources import resource
from aggregator.api.routes.people import check_administers
from aggregator.api.schemas.access import ApiKey, MadeApiKey, NewApiKey
from aggregator.api.schemas.names import AwareUtc
from aggregator.store.api_keys import KeyWish, add_key, find_key, list_keys, revoke_key

_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[AwareUtc, str])
KeyId = Annotated[str, Path(pattern="^[0-9a-f]{8}$", description="How the key begins, behind `swk_`.")]

router = resource("access", "/api-keys")


@router.get("", summary="List API keys", responses=problems(422))
def read_keys(
    caller: AdminDep,
    session: SessionDep,
    query: Annotated[PageQuery[ApiKey], Query()],
    request: Request,
    response: Response,
) -> Page[ApiKey]:
    """Keys by when they were made, those that are no longer good included."""
    after = place_of(query.cursor, _PLACE)
    theirs = [
        key
        for key in list_keys(session)
        if caller.administers(grants_of(key.grants)) and (after is None or (key.added_at, key.id) > after)
    ]
    kept, last = take(theirs, query.limit)
    cursor = None if last is None else cursor_of((last.added_at, last.id))
    link_next(request, response, cursor)
    return Page(items=[ApiKey.of(key) for key in kept], next=cursor)


@router.post("", summary="Make an API key", status_code=201, responses=problems(422))
def make(new: NewApiKey, caller: AdminInPersonDep, centre: CentreDep, response: Response) -> MadeApiKey:
    """Make a key for a program; the answer is the only place where it ever stands.

    It ends when it expires, is revoked, or whoever made it could not make it any more.
    """
    check_administers(caller, new.grants)
    now = centre.now()
    drawn = draw_api_key()
    wanted = KeyWish(new.purpose, new.grants, now + timedelta(days=new.expires_in_days))
    kept = add_key(centre.store, drawn, wanted, caller, now)
    response.headers["Cache-Control"] = "no-store"
    return MadeApiKey(**ApiKey.of(kept).model_dump(), key=drawn.text)


@router.delete("/{key_id}", summary="Revoke an API key", status_code=204, responses=problems(404, 422))
def revoke(key_id: KeyId, caller: AdminInPersonDep, centre: CentreDep) -> None:
    """Make a key good for nothing from now on; it stays listed."""
    with centre.store.session() as session:
        key = find_key(session, key_id)
        if key is None or not caller.administers(grants_of(key.grants)):
            raise HTTPException(404, f"There is no key {key_id} among those that you look after.")
    revoke_key(centre.store, key_id, caller, centre.now())
    centre.authenticator.forget()
