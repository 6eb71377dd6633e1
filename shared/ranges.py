"""Keeps a list of seq ranges short enough for one message; pure."""

from collections.abc import Sequence
from heapq import nlargest
from itertools import pairwise

from shared.messages import SeqRange


def coarse(ranges: Sequence[SeqRange], most: int) -> list[SeqRange]:
    """At most ``most`` ranges that cover the sorted, disjoint ones given: the nearest are joined over their gaps.

    >>> coarse([(1, 2), (4, 4), (9, 9), (20, 30)], 2)
    [(1, 9), (20, 30)]
    """
    if len(ranges) <= most:
        return list(ranges)
    cuts = nlargest(most - 1, range(1, len(ranges)), key=lambda at: ranges[at][0] - ranges[at - 1][1])
    return [(ranges[begin][0], ranges[end - 1][1]) for begin, end in pairwise([0, *sorted(cuts), len(ranges)])]
