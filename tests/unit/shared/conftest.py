from datetime import UTC, date, datetime

import pytest

from shared.features import feature_names
from shared.manifest import (
    FORMAT,
    Calibration,
    Channel,
    FeatureSpec,
    GoldenTensor,
    Manifest,
    Quantisation,
    Regime,
    Sides,
    Widening,
)
from shared.rows import SensorRow


@pytest.fixture
def spec():
    """Three channels in two regimes, one direction of wear, short windows."""
    parts = {
        "version": 2,
        "channels": ["T24", "T30", "P30"],
        "regime_channel": "altitude",
        "regimes": [
            Regime(nominal=0.0, mean=[640.0, 1580.0, 550.0], sd=[0.5, 6.0, 1.0]),
            Regime(nominal=20.0, mean=[600.0, 1400.0, 300.0], sd=[0.7, 9.0, 2.0]),
        ],
        "regime_tolerance": 1.0,
        "z_clip": 6.0,
        "ewma_alpha": 0.1,
        "window_rows": 12,
        "mean_rows": [3, 12],
        "lag_rows": 4,
        "slope_rows": [6],
        "ageless_slope_rows": [9],
        "baseline_rows": 5,
        "latest_baseline_start": 3,
        "health": [[0.6, 0.8, -0.5]],
        "clip": 1e9,
    }
    width = len(feature_names(FeatureSpec(**parts, center=[], scale=[])))
    return FeatureSpec(**parts, center=[0.0] * width, scale=[1.0] * width)


@pytest.fixture
def manifest(spec):
    return Manifest(
        format=FORMAT,
        name="toy",
        version="1.2.3",
        created=date(2026, 11, 21),
        sha256="0" * 64,
        seed=0,
        channels=[
            Channel(name="altitude", unit="kft", minimum=-1.0, maximum=43.0, stuck_rows=0),
            Channel(name="T24", unit="°R", minimum=630.0, maximum=650.0, stuck_rows=4),
            Channel(name="T30", unit="°R", minimum=1550.0, maximum=1620.0, stuck_rows=4),
            Channel(name="P30", unit="psia", minimum=540.0, maximum=560.0, stuck_rows=0),
        ],
        features=spec,
        input=Quantisation(scale=0.03, zero_point=0),
        output=Quantisation(scale=0.005, zero_point=-100),
        head_scale_cycles=125.0,
        cap_cycles=125.0,
        calibration=Calibration(
            nodes=[0.0, 50.0], mean=[1.0, 2.0], median=[0.5, 0.0], below=[1.0, 2.0], above=[0.5, 1.5]
        ),
        widening=Widening(
            unusable_channels=[Sides(below=4.0, above=8.0)],
            flags={
                "short_history": Sides(below=1.0, above=2.0),
                "late_start": Sides(below=10.0, above=20.0),
                "stuck": Sides(below=3.0, above=1.0),
            },
            short_history_rows=3,
        ),
        golden_tensors=[GoldenTensor(input=b"\x00", output=b"\x01")],
        golden_histories=[],
        training_files={},
        figures={"C125": {"rmse": 10.0}},
    )


@pytest.fixture
def row():
    """Build a good row, with changes."""

    def build(cycle=1, **channels):
        good = {"altitude": 0.0, "T24": 641.0, "T30": 1585.0, "P30": 551.0}
        return SensorRow("E1", cycle, datetime(2026, 1, 1, tzinfo=UTC), good | channels)

    return build
