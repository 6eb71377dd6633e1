"""GET /engines/{serial}/why, /models and /predictions: what moved, and who made which prediction."""

import numpy as np
import pytest

from shared import manifest
from shared.bundle import find_bundle
from shared.messages import ModelRef


@pytest.fixture
def released():
    return manifest.read(find_bundle("turbofan"))


@pytest.fixture
def model(released):
    return ModelRef(name=released.name, version=released.version, sha256=released.sha256)


@pytest.fixture
def live(recorder, released, model):
    """Give an engine a life in changing operating conditions, in which one channel drifts."""
    spec, noise = released.features, np.random.default_rng(7)

    def rows(serial, count, drift=None, worth=0.05):
        recorder.register(serial)
        for cycle in range(1, count + 1):
            regime = spec.regimes[int(noise.integers(len(spec.regimes)))]
            values = {
                channel: mean + sd * (0.3 * noise.standard_normal() + (worth * cycle if channel == drift else 0))
                for channel, mean, sd in zip(spec.channels, regime.mean, regime.sd, strict=True)
            }
            recorder.send(recorder.row(serial, cycle, values | {spec.regime_channel: regime.nominal}))
        recorder.send(recorder.prediction(serial, count, model=model))

    return rows


async def why(client, serial="E-1"):
    return (await client.get(f"/api/v1/engines/{serial}/why")).json()


@pytest.mark.parametrize("worth", [0.04, -0.04])
async def test_the_channel_that_drifts_stands_first_whatever_the_operating_conditions(client, live, worth):
    live("E-1", 100, drift="T30", worth=worth)
    told = await why(client)
    assert told["unknown"] is None
    assert told["baseline"] == {"first_cycle": 1, "last_cycle": 20, "rows": 20}
    assert told["present"] == {"first_cycle": 51, "last_cycle": 100, "rows": 50}
    first, second, *_ = told["channels"]
    assert first["channel"] == "T30"
    assert first["moved_sd"] == pytest.approx(worth * 80, abs=1)
    assert first["moved_sd"] == pytest.approx(first["present_sd"] - first["baseline_sd"])
    assert abs(second["moved_sd"]) < 1


async def test_where_nothing_can_be_told_it_is_said_why(client, live, recorder):
    recorder.register("E-0")
    assert (await why(client, "E-0"))["unknown"] == "There is no prediction yet."
    live("E-1", 19)
    assert "no more rows than the 20 of the baseline" in (await why(client))["unknown"]
    recorder.engine("E-2")
    told = await why(client, "E-2")
    assert told["unknown"] == "The model of the latest prediction is not installed at the centre."
    assert told["model"] == {"name": "turbofan", "version": "1.0.0", "sha256": "ab" * 32}
    assert (await client.get("/api/v1/engines/E-9/why")).status_code == 404


async def test_a_channel_without_values_is_left_out(client, recorder, live, released):
    live("E-1", 60)
    for cycle in range(61, 121):
        recorder.send(recorder.row("E-1", cycle, {released.features.regime_channel: 0.0, "T24": 642.0, "T30": None}))
    assert [one["channel"] for one in (await why(client))["channels"]] == ["T24"]


async def test_which_predictions_a_model_made_is_listed_over_all_engines(client, recorder):
    bad = ModelRef(name="turbofan", version="1.0.2", sha256="cd" * 32)
    for serial in ("E-1", "E-2"):
        recorder.engine(serial)
        recorder.send(recorder.prediction(serial, 2, model=bad), recorder.prediction(serial, 3, model=bad))
    models = (await client.get("/api/v1/models")).json()
    assert [(model["version"], model["sha256"][:2]) for model in models] == [("1.0.0", "ab"), ("1.0.2", "cd")]
    query = {"model": "turbofan", "version": "1.0.2", "limit": 3}
    first = await client.get("/api/v1/predictions", params=query)
    second = await client.get(first.links["next"]["url"])
    made = [(one["engine"], one["cycle"]) for page in (first, second) for one in page.json()["items"]]
    assert made == [("E-2", 3), ("E-2", 2), ("E-1", 3), ("E-1", 2)]
    assert second.json()["next"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"model": "turbofan"}, 2),
        ({"model": "turbofan", "sha256": "ab" * 32}, 1),
        ({"model": "turbofan", "version": "9.9.9"}, 0),
        ({"model": "other"}, 0),
    ],
)
async def test_lineage_is_by_name_version_or_file(client, recorder, query, count):
    recorder.engine("E-1")
    recorder.send(
        recorder.prediction("E-1", 1, model=ModelRef(name="turbofan", version="1.0.0", sha256="cd" * 32)),
    )
    assert len((await client.get("/api/v1/predictions", params=query)).json()["items"]) == count
