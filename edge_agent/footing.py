"""What an engine's state stands on: an installation, a maintenance epoch, and from where the model counts its age."""

from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np
from msgspec import Struct

from shared.clock import is_set
from shared.desired import DesiredEngine
from shared.errors import RowError
from shared.features import MOST_BASELINE_LOST
from shared.messages import CYCLE_MAX
from shared.predictor import EngineState, Predictor
from shared.rows import SensorRow


class Footing(Struct, frozen=True):
    """What the rows of a state have in common; kept with it.

    As long as the centre has said nothing, the source's counter is taken for the engine's age.

    Attributes:
        installation_id: as the centre names it; None where it has said nothing.
        maintenance_epoch: how often the engine had been overhauled by then.
        base_cycles: what the source's counter lacks to be the engine's age, or to count on from its history.
        age_known: whether that is its age.
    """

    installation_id: str | None = None
    maintenance_epoch: int = 0
    base_cycles: int = 0
    age_known: bool = True

    @classmethod
    def on(cls, desired: DesiredEngine) -> "Footing":
        """That of the rows of an installation, as the centre describes it."""
        return cls(
            desired.installation_id,
            desired.maintenance_epoch,
            desired.base_cycles,
            desired.installation_cycle is not None,
        )

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Footing":
        """Restore a stored one; what is none is as if the centre had said nothing."""
        try:
            return msgspec.json.decode(stored, type=cls)
        except msgspec.DecodeError:
            return cls()

    def to_bytes(self) -> bytes:
        """Store it."""
        return msgspec.json.encode(self)

    def counted(self, row: SensorRow) -> SensorRow:
        """The row as the model counts it: by the engine's age, or on from its history.

        Raises:
            RowError: the source's own cycle is below 1.
        """
        if row.cycle < 1:
            raise RowError(f"engine {row.engine}: cycle {row.cycle} is below 1")
        return row if self.base_cycles == 0 else replace(row, cycle=row.cycle + self.base_cycles)

    def reaches(self, desired: DesiredEngine, row: SensorRow, now: datetime) -> bool:
        """Whether a row is one of the installation and epoch that the centre describes, and not yet of those before.

        A source may lag behind what people enter: what it took before an overhaul, or before the engine was hung here
        again, still belongs to the state as it is.
        """
        if row.cycle <= desired.counted_from:
            return False
        is_same = self.installation_id in (None, desired.installation_id)
        return is_same or row.observed_at >= desired.installed_from or not is_set(now)

    def carries(self, desired: DesiredEngine) -> bool:
        """Whether the rows so far are all of the installation and epoch that the centre describes."""
        if self.installation_id is None:
            return desired.seed is None and desired.counted_from == 0
        return (self.installation_id, self.maintenance_epoch) == (desired.installation_id, desired.maintenance_epoch)


def recount(predictor: Predictor, state: EngineState, old: Footing, new: Footing) -> None:
    """Count the rows of a state anew: somebody has corrected the age, or told of it.

    Rows of an engine whose age nobody knows may be those of an old one: they are no baseline until its age is known.
    """
    past = state.past
    if past.seen_rows:
        shifted = past.cycles.astype(np.int64) + (new.base_cycles - old.base_cycles)
        past.cycles[:] = np.clip(shifted, 0, CYCLE_MAX)
    if old.age_known and new.age_known and new.base_cycles <= old.base_cycles:
        return
    spec = predictor.manifest.features
    enough = past.baseline_lost.sum() <= MOST_BASELINE_LOST * spec.baseline_rows * len(spec.channels)
    in_time = past.seen_rows == 0 or past.cycles[-1] - past.seen_rows < spec.latest_baseline_start
    past.baseline_sound = bool(new.age_known and enough and in_time)
