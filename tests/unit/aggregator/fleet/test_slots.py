"""Who gets a slot: the best there is, by trying all of them; and what happens when the solver has no time."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aggregator.fleet.slots import LEFT, SlotsError, assign

savings_of = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 5), st.integers(1, 3)), elements=st.integers(-3, 9).map(float)
)


def worth_of(savings, weeks):
    return sum(savings[engine, week] for engine, week in enumerate(weeks) if week != LEFT)


def every(savings, slots):
    for weeks in product(range(-1, savings.shape[1]), repeat=len(savings)):
        if all(weeks.count(week) <= free for week, free in enumerate(slots)):
            yield weeks


@settings(max_examples=60, deadline=None)
@given(savings_of, st.data())
def test_no_other_assignment_saves_more(savings, data):
    slots = np.array([data.draw(st.integers(0, 2)) for _ in range(savings.shape[1])])
    found = assign(savings, slots)
    assert all(np.count_nonzero(found == week) <= free for week, free in enumerate(slots))
    assert all(savings[engine, week] > 0 for engine, week in enumerate(found) if week != LEFT)
    assert worth_of(savings, found) == pytest.approx(max(worth_of(savings, weeks) for weeks in every(savings, slots)))


def test_without_time_it_says_what_to_do():
    savings = np.random.default_rng(0).random((400, 20))
    with pytest.raises(SlotsError, match=r"400 engines in 20 weeks was found in 0 s .* ask for fewer weeks"):
        assign(savings, np.full(20, 30), time_limit_s=0)


def test_nobody_gets_what_there_is_not():
    assert assign(np.ones((3, 2)), np.zeros(2, int)).tolist() == [LEFT] * 3
    assert assign(np.zeros((0, 2)), np.ones(2, int)).tolist() == []
