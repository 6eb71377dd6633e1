"""People and their grants, and what the audit log says of each change."""

import pytest

from aggregator.access.roles import EVERYWHERE, FULL_ACCESS, Caller, Grant, Role, grants_of
from aggregator.store.audit import list_audit
from aggregator.store.logins import begin_login, find_login
from aggregator.store.people import (
    NoSuchPersonError,
    PersonChange,
    PersonError,
    add_person,
    change_person,
    find_person,
    is_open,
)

ADMIN = Caller("person root", FULL_ACCESS, "192.0.2.1")
ENGINEER = (Grant(Role.ENGINEER, "hamburg"),)


@pytest.fixture
def anna(store, clock):
    add_person(store, "anna", "$hash", ENGINEER, ADMIN, clock())


@pytest.fixture
def root(store, clock):
    add_person(store, "root", "$hash", FULL_ACCESS, ADMIN, clock())


def test_the_first_person_ends_the_time_without_accounts(store, clock):
    assert is_open(store)
    add_person(store, "anna", "$hash", ENGINEER, ADMIN, clock())
    change_person(store, "anna", PersonChange(disabled=True), ADMIN, clock())
    assert not is_open(store)


@pytest.mark.usefixtures("anna")
def test_a_name_is_used_once(store, clock):
    with pytest.raises(PersonError, match="there is a person anna already"):
        add_person(store, "anna", "$other", FULL_ACCESS, ADMIN, clock())
    with pytest.raises(PersonError, match="there is no person berta"):
        change_person(store, "berta", PersonChange(disabled=True), ADMIN, clock())


@pytest.mark.usefixtures("anna")
def test_every_change_is_in_the_audit_log_and_no_hash_is(store, clock):
    change_person(
        store, "anna", PersonChange("$new", (Grant(Role.VIEWER, EVERYWHERE),), disabled=False), ADMIN, clock()
    )
    with store.session() as session:
        changed, added = list_audit(session, None)
        person = find_person(session, "anna")
    assert (added.action, added.subject, added.who, added.address, added.site, added.before) == (
        *("person.add", "person anna", "person root", "192.0.2.1", "hamburg"),
        None,
    )
    assert added.after == {"grants": ["engineer@hamburg"], "disabled": False}
    assert (changed.before, changed.site) == (added.after, None)
    assert changed.after == {"grants": ["viewer@*"], "disabled": False, "password": "changed"}
    assert (person.password_hash, grants_of(person.grants)) == ("$new", (Grant(Role.VIEWER, EVERYWHERE),))


@pytest.mark.usefixtures("root")
def test_p8_who_looks_after_one_site_changes_nobody_who_acts_elsewhere(store, clock):
    by = Caller("person hanna", (Grant(Role.ADMIN, "hamburg"),))
    with pytest.raises(NoSuchPersonError, match="no person root among those that you look after"):
        change_person(store, "root", PersonChange("$stolen"), by, clock())
    with store.session() as session:
        assert find_person(session, "root").password_hash == "$hash"


@pytest.mark.parametrize(
    "change",
    [PersonChange(disabled=True), PersonChange(grants=(Grant(Role.ADMIN, "hamburg"),))],
    ids=["disable", "strip"],
)
@pytest.mark.usefixtures("root", "anna")
def test_the_last_admin_of_all_sites_stays(store, clock, change):
    with pytest.raises(PersonError, match="root is the last admin of all sites"):
        change_person(store, "root", change, ADMIN, clock())
    add_person(store, "berta", "$hash", FULL_ACCESS, ADMIN, clock())
    change_person(store, "root", change, ADMIN, clock())


@pytest.mark.parametrize(
    ("change", "ends"),
    [(PersonChange(disabled=True), True), (PersonChange("$new"), True), (PersonChange(grants=()), False)],
)
@pytest.mark.usefixtures("anna")
def test_a_new_password_and_being_disabled_end_a_persons_logins(store, clock, change, ends):
    begin_login(store, "anna", "l-1", "192.0.2.7", clock(), clock.in_(60))
    change_person(store, "anna", change, ADMIN, clock())
    change_person(store, "anna", PersonChange(disabled=False), ADMIN, clock())
    with store.session() as session:
        assert (find_login(session, "l-1", clock()) is None) is ends


@pytest.mark.usefixtures("root")
def test_two_admins_who_disable_each_other_at_once_leave_one(store, clock, at_once):
    add_person(store, "berta", "$hash", FULL_ACCESS, ADMIN, clock())

    def change(name, disabled):
        try:
            change_person(store, name, PersonChange(disabled=disabled), ADMIN, clock())
        except PersonError:
            return False
        return True

    for _ in range(10):
        assert sorted(at_once(lambda: change("root", True), lambda: change("berta", True))) == [False, True]
        for name in ("root", "berta"):
            change(name, False)
