"""Begins an engine's feature state as the centre describes it: new, of unknown age, or with a history elsewhere."""

from shared.desired import DesiredEngine
from shared.errors import RowError
from shared.predictor import EngineState, Predictor
from shared.rows import SensorRow


def seeded_state(predictor: Predictor, desired: DesiredEngine) -> EngineState:
    """The state of an engine that comes from elsewhere, made from the rows that the centre sends along."""
    state = predictor.new_state()
    if desired.seed is not None:
        for cycle, values in desired.seed.rows:
            channels = {
                name: float("nan") if value is None else value
                for name, value in zip(desired.seed.channels, values, strict=False)
            }
            try:
                predictor.step(state, SensorRow(desired.serial, cycle, desired.installed_from, channels))
            except RowError:
                continue
    if desired.installation_cycle is None:
        state.past.baseline_sound = False
    return state
