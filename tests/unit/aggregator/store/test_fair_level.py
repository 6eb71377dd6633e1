from hypothesis import given
from hypothesis import strategies as st

from aggregator.store.quarantine_bound import fair_level

amounts = st.lists(st.integers(0, 1000), max_size=20)


@given(sizes=amounts, room=st.integers(0, 20_000))
def test_what_is_kept_fits_and_a_higher_level_would_not(sizes, room):
    level = fair_level(sizes, room)
    assert sum(min(size, level) for size in sizes) <= room
    assert level >= max(sizes, default=0) or sum(min(size, level + 1) for size in sizes) > room
