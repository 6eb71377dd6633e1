"""Leases: what only one of several aggregators is to do, is done by the one whose name is in the database.

A lease saves work that would be done twice; it is no lock. Whoever holds one must do no harm if another, whose clock
is ahead, takes it for over.
"""

from datetime import datetime, timedelta

from sqlalchemy import insert, or_, update
from sqlalchemy.exc import IntegrityError

from aggregator.store.database import Store
from aggregator.store.tables import Lease, core

LEASE = timedelta(minutes=10)

_lease = core(Lease)


def take_lease(store: Store, task: str, holder: str, now: datetime, lasting: timedelta = LEASE) -> bool:
    """Take a lease, or renew it; returns whether it is the holder's for that long."""
    mine = {"holder": holder, "until": now + lasting}
    is_free = or_(_lease.c.holder == holder, _lease.c.until < now)
    try:
        with store.writing() as connection:
            taken = connection.execute(update(_lease).where(_lease.c.task == task, is_free).values(mine)).rowcount == 1
            if not taken and connection.execute(_lease.select().where(_lease.c.task == task)).first() is None:
                connection.execute(insert(_lease).values(task=task, **mine))
                taken = True
    except IntegrityError:  # another one was faster
        return False
    return taken


def end_lease(store: Store, task: str, holder: str) -> None:
    """Give a lease back, so that another need not wait for its end."""
    with store.writing() as connection:
        connection.execute(_lease.delete().where(_lease.c.task == task, _lease.c.holder == holder))
