"""What has been sent and not answered yet: bounded, three quarters for live records and one for the backlog.

The window closes down to one envelope at a time when nothing is answered at all, and opens again with every answer, so
that a centre in trouble is asked and not flooded.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.messages import SeqRange


def within(ranges: Iterable[SeqRange], seqs: Collection[int]) -> list[int]:
    """Which of the seqs, in a set or dict, lie in the ranges; costs what the smaller side holds.

    >>> within([(2, 3), (9, 10**12)], {1, 2, 9})
    [2, 9]
    """
    found: list[int] = []
    for first, last in ranges:
        if last - first < len(seqs):
            found.extend(seq for seq in range(first, last + 1) if seq in seqs)
        else:
            found.extend(seq for seq in seqs if first <= seq <= last)
    return found


@dataclass(slots=True, eq=False)
class Sent:
    """One envelope on its way.

    Attributes:
        seqs: its records that are not answered yet.
        size: how many records it carried.
        live: whether it is of the newest records, and not of the backlog.
        sent_at_s: when it was sent, monotonic.
        answers: how many answers had come by then.
    """

    seqs: set[int]
    size: int
    live: bool
    sent_at_s: float
    answers: int


class InFlight:
    """Envelopes on their way.

    >>> sent = InFlight(most=8)
    >>> sent.add([1, 2], live=True, now_s=0.0)
    >>> sent.answered([(1, 1)])
    >>> 1 in sent, 2 in sent, len(sent)
    (False, True, 1)
    >>> [sorted(lost.seqs) for lost in sent.take_overdue(sent_before_s=5.0)]
    [[2]]
    >>> len(sent)
    0

    Args:
        most: how many envelopes may be on their way; at least 2.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = most
        self._envelopes: list[Sent] = []
        self._sent_in: dict[int, Sent] = {}
        self.answers = 0

    def __len__(self) -> int:
        return len(self._envelopes)

    def __contains__(self, seq: int) -> bool:
        return seq in self._sent_in

    def has_room(self, *, live: bool) -> bool:
        """Whether one more envelope may be sent."""
        if self._window == 1:
            return not self._envelopes
        backlog = max(1, self._window // 4)
        share = self._window - backlog if live else backlog
        return len(self._envelopes) < self._window and sum(sent.live == live for sent in self._envelopes) < share

    def add(self, seqs: Collection[int], *, live: bool, now_s: float) -> None:
        """Note one envelope sent at a monotonic time."""
        sent = Sent(set(seqs), len(seqs), live, now_s, self.answers)
        self._envelopes.append(sent)
        self._sent_in.update(dict.fromkeys(seqs, sent))

    def answered(self, ranges: Iterable[SeqRange]) -> None:
        """Take out what the centre has answered; an envelope without open seqs is done."""
        self.answers += 1
        self._window = min(self._most, 2 * self._window)
        for seq in within(ranges, self._sent_in):
            self._sent_in.pop(seq).seqs.discard(seq)
        self._envelopes = [sent for sent in self._envelopes if sent.seqs]

    def take_overdue(self, *, sent_before_s: float) -> list[Sent]:
        """Take out the envelopes sent before a monotonic time."""
        return self._take([sent for sent in self._envelopes if sent.sent_at_s < sent_before_s])

    def take_all(self) -> list[Sent]:
        """Take out every envelope: the connection is gone."""
        return self._take(self._envelopes)

    def _take(self, taken: list[Sent]) -> list[Sent]:
        self._envelopes = [sent for sent in self._envelopes if sent not in taken]
        for sent in taken:
            for seq in sent.seqs:
                del self._sent_in[seq]
        if taken and all(sent.answers == self.answers for sent in taken):
            self._window = 1
        return taken
