"""Arithmetic of inclusive seq ranges; pure."""

from collections.abc import Iterable, Sequence

from shared.messages import SeqRange


def union(*parts: Iterable[SeqRange]) -> list[SeqRange]:
    """Every seq of any of the parts, as sorted, disjoint, non-adjacent ranges.

    >>> union([(5, 9), (1, 2)], [(3, 6)], [(12, 11)])
    [(1, 9)]
    """
    merged: list[SeqRange] = []
    for first, last in sorted(one for part in parts for one in part if one[0] <= one[1]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def intersect(one: Iterable[SeqRange], other: Iterable[SeqRange]) -> list[SeqRange]:
    """The seqs that are in both, as sorted, disjoint, non-adjacent ranges.

    >>> intersect([(1, 5), (7, 9)], [(4, 7), (9, 20)])
    [(4, 5), (7, 7), (9, 9)]
    """
    whole = union(one)
    return subtract(whole, subtract(whole, other))


def subtract(whole: Iterable[SeqRange], part: Iterable[SeqRange]) -> list[SeqRange]:
    """The seqs of ``whole`` that are not in ``part``.

    >>> subtract([(1, 9)], [(3, 4), (9, 12)])
    [(1, 2), (5, 8)]
    """
    holes: Sequence[SeqRange] = union(part)
    left: list[SeqRange] = []
    at = 0
    for first, last in union(whole):
        while at < len(holes) and holes[at][1] < first:
            at += 1
        begin, hole = first, at
        while hole < len(holes) and holes[hole][0] <= last:
            if begin < holes[hole][0]:
                left.append((begin, holes[hole][0] - 1))
            begin = holes[hole][1] + 1
            hole += 1
        if begin <= last:
            left.append((begin, last))
    return left
