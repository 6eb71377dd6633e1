"""Where the resources of the API lie."""

from fastapi import APIRouter


def resource(tag: str, path: str = "") -> APIRouter:
    """A router whose routes have whole paths, so that an app takes them as they are.

    If an app included it under a prefix, FastAPI would build each route once more for every app, and look for it twice
    at every request.
    """
    return APIRouter(prefix=f"/api/v1{path}", tags=[tag])
