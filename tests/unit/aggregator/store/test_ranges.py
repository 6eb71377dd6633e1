from hypothesis import given
from hypothesis import strategies as st

from aggregator.store.ranges import subtract, union

ranges = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=6)


def seqs(of_ranges):
    return {seq for first, last in of_ranges for seq in range(first, last + 1)}


def is_folded(of_ranges):
    return all(
        first <= last and before < first - 1
        for (_, before), (first, last) in zip([(0, -1), *of_ranges], of_ranges, strict=False)
    )


@given(one=ranges, other=ranges)
def test_a_union_has_every_seq_of_its_parts_and_is_folded(one, other):
    both = union(one, other)
    assert seqs(both) == seqs(one) | seqs(other)
    assert is_folded(both)


@given(whole=ranges, part=ranges)
def test_what_is_left_is_in_the_whole_and_not_in_the_part(whole, part):
    left = subtract(whole, part)
    assert seqs(left) == seqs(whole) - seqs(part)
    assert is_folded(left)
