"""Lists what the outbox holds, a piece at a time: a million records at once would stop the loop for seconds."""

from edge_agent.outbox import Outbox
from edge_agent.outbox.history import join
from shared.messages import SeqRange

SLICES_AT_ONCE = 4


class Inventory:
    """What the outbox holds, for another store than the one that answered last.

    Attributes:
        answered_by: epoch of the store that answered last.

    Args:
        outbox: whose records are listed; it may go on taking records and losing them meanwhile.
    """

    def __init__(self, outbox: Outbox, answered_by: str) -> None:
        self.answered_by = answered_by
        self._slices = outbox.held_slices()
        self._held: list[SeqRange] = []

    def go_on(self) -> list[SeqRange] | None:
        """List some more; at the end the sorted ranges of all seqs held, up to the newest.

        Raises:
            OutboxError: the outbox cannot be read at the moment; begin another inventory later.
        """
        for _ in range(SLICES_AT_ONCE):
            held = next(self._slices, None)
            if held is None:
                return self._held
            join(self._held, held)
        return None
