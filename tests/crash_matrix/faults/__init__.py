"""The kinds of faults, each a context: it strikes on entry, lasts while the block runs, and is mended at its end."""

from tests.crash_matrix.faults import boxes, crashes, links, stores
from tests.crash_matrix.faults.kinds import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "boxes", "crashes", "links", "stores"]
