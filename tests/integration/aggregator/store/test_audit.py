"""The audit log: it grows, and the database itself lets nobody change what stands there."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from aggregator.access.roles import FULL_ACCESS, Caller
from aggregator.store.audit import Change, audit, list_audit

ROOT = Caller("person root", FULL_ACCESS, "192.0.2.1")


@pytest.fixture
def entries(store, clock):
    """Three, of which one is of no one site."""
    with store.session(writes=True) as session:
        for number, site in enumerate(("hamburg", None, "bremen")):
            audit(session, ROOT, clock(), Change("engine.register", f"engine E-{number}", site))
        session.commit()


def subjects(store, *limits):
    with store.session() as session:
        return [entry.subject for entry in list_audit(session, *limits)]


@pytest.mark.usefixtures("entries")
def test_entries_come_newest_first_and_in_pages(store):
    assert subjects(store, None) == ["engine E-2", "engine E-1", "engine E-0"]
    with store.session() as session:
        (newest,) = list_audit(session, None, None, 1)
    assert subjects(store, None, newest.id, 1) == ["engine E-1"]


@pytest.mark.usefixtures("entries")
def test_who_looks_after_some_sites_reads_of_these(store):
    assert subjects(store, frozenset({"hamburg", "kiel"})) == ["engine E-0"]
    assert subjects(store, frozenset()) == []


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("change", ["UPDATE audit_entry SET who = 'nobody'", "DELETE FROM audit_entry"])
def test_p8_an_entry_is_never_changed(store, change):
    with pytest.raises(DBAPIError, match="the audit log is append-only"), store.writing() as connection:
        connection.execute(text(change))
    assert len(subjects(store, None)) == 3


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)  # SQLite has no TRUNCATE
def test_p8_the_log_is_not_emptied_at_once(store):
    with pytest.raises(DBAPIError, match="the audit log is append-only"), store.writing() as connection:
        connection.execute(text("TRUNCATE audit_entry"))
