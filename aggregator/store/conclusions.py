"""What the outcome of a work order says of its engine: entered by the code that enters it elsewhere, and taken back."""

from datetime import datetime

from sqlmodel import Session, col, select

from aggregator.access.roles import Caller
from aggregator.fleet.work_orders import Conclusion, Outcome
from aggregator.store.installations import CLOCK_LEEWAY, amend_within, end, installation_at, last_cycle_at
from aggregator.store.overhauls import NewOverhaul, enter_overhaul, take_back_overhaul
from aggregator.store.registry import RegistryError, key_of
from aggregator.store.tables import Engine, Installation, WorkOrder
from aggregator.store.tables.work import OVERHAUL, REMOVAL


class Concluding:
    """Somebody who enters the outcome of a work order, or another one in its place, in one transaction.

    Args:
        session: of the store, in a transaction that writes.
        order: the work order.
        engine: its engine, which is locked.
        now: when.
        by: who.
    """

    def __init__(self, session: Session, order: WorkOrder, engine: Engine, now: datetime, *, by: Caller) -> None:
        self._session, self._order, self._engine, self._now, self._by = session, order, engine, now, by

    def enter(self, conclusion: Conclusion) -> None:
        """Give the order this outcome, and enter what that says of the engine.

        What another outcome has set before is taken back, or kept where this one says the same.

        Raises:
            RegistryError: it is ahead, or that cannot be.
        """
        if conclusion.at > self._now + CLOCK_LEEWAY:
            raise RegistryError("an outcome is entered when it is known: not ahead")
        where = self._place(conclusion.at)
        cycle = conclusion.cycle
        if where is None and cycle is not None:
            raise RegistryError(f"engine {self._engine.serial} had hung nowhere by then: its source counted no cycles")
        if where is not None and cycle is None:
            cycle = last_cycle_at(self._session, where, conclusion.at)
        has_set = self._keep(conclusion, cycle) or self._set(conclusion, cycle)
        is_end = conclusion.outcome is not Outcome.NO_FAULT_FOUND
        self._order.sqlmodel_update(
            {
                "outcome": conclusion.outcome.value,
                "remedy": None if conclusion.remedy is None else conclusion.remedy.value,
                "ended_at": conclusion.at,
                "ended_installation_id": where.id if is_end and where is not None else None,
                "ended_cycle": cycle if is_end else None,
                "has_set": has_set,
            }
        )

    def _place(self, at: datetime) -> Installation | None:
        """Where the engine hung by then, or had hung last."""
        query = select(Installation).where(Installation.engine_id == self._engine.id, Installation.installed_from <= at)
        return self._session.exec(query.order_by(col(Installation.installed_from).desc()).limit(1)).first()

    def _keep(self, conclusion: Conclusion, cycle: int | None) -> str | None:
        """What is set already and stays; else it is taken back."""
        order = self._order
        if order.has_set == REMOVAL and order.ended_installation_id is not None:
            removed = self._session.get_one(Installation, order.ended_installation_id)
            ended_at = conclusion.at if conclusion.removes else None
            if removed.installed_to != ended_at:
                amend_within(self._session, removed, self._engine, {"installed_to": ended_at}, self._now, by=self._by)
            return REMOVAL if conclusion.removes else None
        if order.has_set == OVERHAUL and order.ended_at is not None:
            if conclusion.overhauls and (order.ended_at, order.ended_cycle) == (conclusion.at, cycle):
                return OVERHAUL
            take_back_overhaul(self._session, self._engine, order.ended_at, self._now, by=self._by)
        return None

    def _set(self, conclusion: Conclusion, cycle: int | None) -> str | None:
        hangs = installation_at(self._session, key_of(self._engine.id), conclusion.at)
        if conclusion.overhauls:
            wanted = NewOverhaul(self._engine.serial, conclusion.at, None if hangs is None else cycle)
            enter_overhaul(self._session, self._engine, wanted, self._now, by=self._by)
            return OVERHAUL
        if conclusion.removes and hangs is not None and hangs.installed_to is None:
            end(self._session, hangs, self._engine, conclusion.at, self._now, by=self._by)
            return REMOVAL
        return None
