"""Who may do what: roles that build on each other, per site."""

import pytest

from aggregator.access.roles import EVERYWHERE, FULL_ACCESS, Caller, Grant, Role, site_of

V, T, E, A = Role


def caller(*grants):
    return Caller("person anna", tuple(Grant(role, site) for role, site in grants))


@pytest.mark.parametrize("role", Role)
def test_a_role_may_all_that_the_ones_before_it_may(role):
    assert [role.includes(other) for other in Role] == [
        list(Role).index(other) <= list(Role).index(role) for other in Role
    ]


def test_a_grant_holds_at_its_site_only():
    anna = caller((E, "hamburg"), (V, "bremen"))
    assert [anna.may(E, site) for site in ("hamburg", "bremen", "kiel", EVERYWHERE)] == [True, False, False, False]
    assert (anna.sites(V), anna.sites(T), anna.sites(A)) == ({"hamburg", "bremen"}, {"hamburg"}, frozenset())


def test_a_grant_everywhere_sets_no_limit():
    assert caller((V, EVERYWHERE), (E, "kiel")).sites(V) is None
    assert Caller("anyone", FULL_ACCESS).may(A, EVERYWHERE)


def test_nobody_may_anything():
    assert caller().sites(V) == frozenset()


@pytest.mark.parametrize(
    ("grants", "theirs"),
    [
        ([(V, "hamburg")], True),
        ([(A, "hamburg"), (V, "bremen")], True),
        ([(V, "hamburg"), (V, "kiel")], False),
        ([(V, EVERYWHERE)], False),
        ([], False),
    ],
)
def test_an_admin_of_sites_looks_after_those_who_act_only_there(grants, theirs):
    admin = caller((A, "hamburg"), (A, "bremen"), (E, "kiel"))
    assert admin.administers([Grant(*grant) for grant in grants]) is theirs
    assert Caller("anyone", FULL_ACCESS).administers([Grant(*grant) for grant in grants])


def test_grants_of_several_sites_have_no_one_site():
    assert site_of([Grant(V, "kiel"), Grant(E, "bremen")]) is None
    assert site_of([Grant(V, EVERYWHERE)]) is None
