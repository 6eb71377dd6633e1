"""Folds seqs into ranges, and keeps a list of them short enough for one message; pure."""

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import pairwise

from shared.messages import SeqRange


def as_ranges(seqs: Iterable[int]) -> list[SeqRange]:
    """Fold seqs into sorted, inclusive, disjoint ranges.

    >>> as_ranges([3, 1, 2, 7])
    [(1, 3), (7, 7)]
    """
    ranges: list[SeqRange] = []
    for seq in sorted(set(seqs)):
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def in_ranges(seq: int, ranges: Sequence[SeqRange]) -> bool:
    """Whether a seq lies in one of the ranges.

    >>> in_ranges(2, [(1, 3)])
    True
    """
    return any(first <= seq <= last for first, last in ranges)


def coarse(ranges: Sequence[SeqRange], most: int) -> list[SeqRange]:
    """At most ``most`` ranges that cover the sorted, disjoint ones given: the nearest are joined over their gaps.

    >>> coarse([(1, 2), (4, 4), (9, 9), (20, 30)], 2)
    [(1, 9), (20, 30)]
    """
    if len(ranges) <= most:
        return list(ranges)
    cuts = nlargest(most - 1, range(1, len(ranges)), key=lambda at: ranges[at][0] - ranges[at - 1][1])
    return [(ranges[begin][0], ranges[end - 1][1]) for begin, end in pairwise([0, *sorted(cuts), len(ranges)])]
