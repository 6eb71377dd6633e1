"""Every question the API and the pages ask of the store, by resource; the session to ask in, and what may go wrong."""

from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlmodel import Session

__all__ = ["DatabaseError", "Session"]
