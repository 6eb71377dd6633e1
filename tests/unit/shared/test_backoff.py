from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import full_jitter_s


@given(attempt=st.integers(1, 10_000))
def test_a_wait_is_anywhere_up_to_a_doubling_bound_with_a_cap(attempt):
    assert 0 <= full_jitter_s(attempt) <= min(30.0, 0.5 * 2.0 ** min(attempt - 1, 20))


def test_waits_differ_so_that_gateways_do_not_come_back_together():
    assert len({full_jitter_s(10) for _ in range(20)}) == 20
