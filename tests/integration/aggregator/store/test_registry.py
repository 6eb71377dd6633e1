"""Only people register, and what they register does not contradict itself."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from aggregator.store.registry import Registration, RegistryError, list_registrations, register_engine
from shared.errors import TopicError

LEFT = Registration("E1", "hamburg", "gw-1", "left")


def test_registered_engines_are_listed_by_serial(store):
    register_engine(store, Registration("E2", "hamburg", "gw-1", "right"))
    register_engine(store, LEFT)
    assert [one.serial for one in list_registrations(store)] == ["E1", "E2"]
    assert list_registrations(store)[0] == LEFT


def test_to_register_the_same_again_changes_nothing(store):
    register_engine(store, LEFT)
    register_engine(store, LEFT)
    assert list_registrations(store) == [LEFT]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (Registration("E1", "hamburg", "gw-1", "right"), "engine E1 is registered already, at another place"),
        (Registration("E1", "hamburg", "gw-2", "left"), "engine E1 is registered already, at another place"),
        (Registration("E2", "hamburg", "gw-1", "left"), "position left of gateway gw-1 holds engine E1"),
        (Registration("E2", "kiel", "gw-1", "right"), "gateway gw-1 is registered at site hamburg, not at kiel"),
    ],
)
def test_a_contradiction_is_refused_and_leaves_nothing_behind(store, other, reason):
    register_engine(store, LEFT)
    with pytest.raises(RegistryError, match=reason):
        register_engine(store, other)
    assert list_registrations(store) == [LEFT]


def test_to_register_the_same_at_once_is_to_register_it(store):
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda _: register_engine(store, LEFT), range(4)))
    assert list_registrations(store) == [LEFT]


@pytest.mark.parametrize("names", [("E 1", "s", "g", "p"), ("E1", "centre", "g", "p"), ("E1", "s", "g/x", "p")])
def test_names_that_no_topic_can_carry_are_refused(names):
    with pytest.raises(TopicError):
        Registration(*names)
