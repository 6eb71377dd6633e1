"""Spells what the centre predicted as the record that a gateway would make of it, with its lineage."""

from datetime import datetime

from aggregator.inference import Forecast
from aggregator.store.tables import Prediction
from shared import messages
from shared.messages import ModelRef, RulCycles, Window
from shared.replay import Replay


def prediction_of(forecast: Forecast, installation_id: str, request_id: str, now: datetime) -> messages.Prediction:
    """A prediction that somebody asked the centre for."""
    return messages.Prediction(
        engine=forecast.row.engine,
        installation_id=installation_id,
        cycle=forecast.row.cycle,
        observed_at=forecast.row.observed_at,
        predicted_at=now,
        rul_cycles=forecast.outcome.rul_cycles,
        cap_cycles=forecast.cap_cycles,
        model=forecast.model,
        runtime=forecast.runtime,
        window=forecast.outcome.window,
        flags=forecast.flags,
        input=forecast.outcome.input,
        origin="centre",
        request_id=request_id,
    )


def rul_cycles_of(stored: Prediction) -> RulCycles:
    """What a stored prediction says."""
    return RulCycles(
        mean=stored.rul_mean_cycles, q05=stored.rul_q05_cycles, q50=stored.rul_q50_cycles, q95=stored.rul_q95_cycles
    )


def replayed_of(
    serial: str, stored: Prediction, model: ModelRef, again: Replay, runtime: str, request_id: str, now: datetime
) -> messages.Prediction:
    """A stored prediction, made again."""
    return messages.Prediction(
        engine=serial,
        installation_id=stored.installation_id,
        cycle=stored.cycle,
        observed_at=stored.observed_at,
        predicted_at=now,
        rul_cycles=again.rul_cycles,
        cap_cycles=stored.cap_cycles,
        model=model,
        runtime=runtime,
        window=Window(
            first_cycle=stored.window_first_cycle, last_cycle=stored.window_last_cycle, rows=stored.window_rows
        ),
        flags=stored.flags,
        input=stored.input,
        origin="replay",
        request_id=request_id,
    )
