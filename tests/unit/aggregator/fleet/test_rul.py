"""P7: a value at the model's cap says "at least"."""

import pytest

from aggregator.fleet.rul import Rul


@pytest.mark.parametrize(("cycles", "at_cap"), [(124.99, False), (125.0, True), (131.0, True)])
def test_p7_a_value_is_at_the_cap_from_the_cap_on(cycles: float, at_cap: bool) -> None:
    assert Rul(mean=90, q05=60, q50=90, q95=130, cap=125).at_cap(cycles) is at_cap
