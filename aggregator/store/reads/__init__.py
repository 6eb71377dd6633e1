"""Every question the API and the pages ask of the store, by resource; the session to ask in, and what may go wrong."""

from sqlalchemy.exc import SQLAlchemyError as DatabaseError
from sqlmodel import Session

from aggregator.store.database import is_out_of_reach

__all__ = ["DatabaseError", "Session", "is_out_of_reach"]
