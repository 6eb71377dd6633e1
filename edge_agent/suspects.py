"""Finds the record that keeps an envelope from being answered, and parks it, so that it never blocks the rest.

The centre answers nothing to an envelope that it cannot read, and a broker may throw out whoever sends one that it
finds too large. So an envelope that fails again and again travels in halves, down to single records.

A failure counts only against the rest: while others are answered, or (for an envelope of several records) while it is
alone on its way. In an outage, where nothing is answered, no record is blamed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.in_flight import Sent, within
from shared.messages import ENVELOPE_MAX_RECORDS, SeqRange

TRIES = 3
PARKED_REST_S = 600.0
MAX_RESTS = 4
MAX_SUSPECTS = 20_000


@dataclass(slots=True)
class _Suspect:
    """One record of envelopes that were not answered.

    ``tries`` are failures that count, ``failures`` all of a lone record; ``share`` is how many records its envelope may
    carry; ``answers`` is how many answers had come when it was sent first or failed last.
    """

    answers: int
    share: int = ENVELOPE_MAX_RECORDS
    tries: int = 0
    failures: int = 0
    rests_until_s: float = 0.0
    is_parked: bool = False


class Suspects:
    """The records under suspicion; kept in memory, for a restart may try them all again.

    Attributes:
        lone: seqs of those that must travel alone, when ``next_lone`` says so.

    Args:
        rest_s: how long a lone record rests after it failed twice, so that others go first; longer each time.
    """

    def __init__(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self._suspects: dict[int, _Suspect] = {}
        self.lone: set[int] = set()

    @property
    def parked(self) -> list[int]:
        """Seqs that are tried seldom, because they alone get no answer or cannot be sent."""
        return sorted(seq for seq in self.lone if self._suspects[seq].is_parked)

    def share(self, seq: int) -> int:
        """How many records may travel in an envelope with this one."""
        suspect = self._suspects.get(seq)
        return suspect.share if suspect else ENVELOPE_MAX_RECORDS

    def next_lone(self, now_s: float) -> int | None:
        """The lone record whose turn it is: of those that have rested the one that failed least."""
        rested = (seq for seq in self.lone if self._suspects[seq].rests_until_s <= now_s)
        return min(rested, key=lambda seq: (self._suspects[seq].failures, seq), default=None)

    def failed(self, sent: Sent, *, answers: int, alone: bool, now_s: float) -> list[int]:
        """Note that an envelope was not answered, and how many answers have come so far; returns what is parked now."""
        if len(self._suspects) > MAX_SUSPECTS:
            self.forget()
        parked = []
        for seq in sent.seqs:
            suspect = self._suspects.setdefault(seq, _Suspect(sent.answers))
            others_were_answered = answers > suspect.answers
            suspect.answers = answers
            if seq in self.lone:
                if self._lone_failed(suspect, now_s, counts=others_were_answered):
                    parked.append(seq)
            elif others_were_answered or (alone and sent.size > 1):
                self._failed_among_others(seq, suspect, sent.size)
        return parked

    def park(self, seq: int, now_s: float) -> None:
        """Try a record seldom that cannot be sent at the moment."""
        if len(self._suspects) > MAX_SUSPECTS:
            self.forget()
        suspect = self._suspects.setdefault(seq, _Suspect(answers=0))
        suspect.tries, suspect.is_parked = TRIES, True
        suspect.rests_until_s = now_s + PARKED_REST_S
        self.lone.add(seq)

    def answered(self, ranges: Iterable[SeqRange]) -> None:
        """Clear what the centre has answered of all suspicion."""
        self.clear(within(ranges, self._suspects))

    def clear(self, seqs: Iterable[int]) -> None:
        """Clear records of all suspicion."""
        for seq in seqs:
            self._suspects.pop(seq, None)
            self.lone.discard(seq)

    def forget(self) -> None:
        """Start anew: the seqs mean other records now."""
        self._suspects.clear()
        self.lone.clear()

    def _failed_among_others(self, seq: int, suspect: _Suspect, size: int) -> None:
        suspect.tries += 1
        if suspect.tries < TRIES:
            return
        suspect.share = max(1, min(suspect.share, size) // 2)
        # A half that fails is halved at once; a lone record has all its tries before it.
        suspect.tries = TRIES - 1
        if suspect.share == 1:
            suspect.tries = 0
            self.lone.add(seq)

    def _lone_failed(self, suspect: _Suspect, now_s: float, *, counts: bool) -> bool:
        """Let a record rest that failed alone; says whether it is parked from now on."""
        was_parked = suspect.is_parked
        suspect.failures += 1
        suspect.tries += counts
        suspect.is_parked = suspect.tries >= TRIES
        rest_s = PARKED_REST_S if suspect.is_parked else self._rest_s * min(suspect.failures - 1, MAX_RESTS)
        suspect.rests_until_s = now_s + rest_s
        return suspect.is_parked and not was_parked
