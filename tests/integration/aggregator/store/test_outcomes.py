"""Predictions held against lives whose end is told: which count, against what, and what is kept of it."""

import math
from datetime import timedelta

import numpy as np
import pytest

from aggregator.fleet.scoring import figures_of
from aggregator.fleet.work_orders import Conclusion, Outcome, Remedy
from aggregator.store.installations import NewInstallation, install, remove
from aggregator.store.outcomes import LATE, score_late
from aggregator.store.overhauls import NewOverhaul, overhaul
from aggregator.store.reads.outcomes import AlarmLead, read_alarm_outcomes, read_model_outcomes
from aggregator.store.tables import EndedLife, LifeScore
from aggregator.store.work_orders import NewWorkOrder, Working, open_work_order
from shared.messages import ModelRef

NEWER = ModelRef(name="turbofan", version="1.1.0", sha256="cd" * 32)
HOUR = 3600


@pytest.fixture
def fly(recorder, clock):
    """Have an engine fly some cycles, an hour each; ``median`` says what is predicted at each."""

    def send(serial, cycles, median, **more):
        for cycle in cycles:
            clock.advance(HOUR)
            row, prediction = recorder.row(serial, cycle), recorder.prediction(serial, cycle, q50=median(cycle), **more)
            recorder.send(row, prediction)

    return send


@pytest.fixture
def conclude(store, clock):
    """Open work on an engine, from alarms or by hand, and finish it with an outcome; the work order's id."""

    def finish(serial, outcome, *alarm_ids, at=None, **more):
        wanted = NewWorkOrder(serial, alarm_ids, {"reason": "test"})
        order = open_work_order(store, wanted, clock())
        Working(store, clock()).finish(order, Conclusion(Outcome(outcome), at or clock(), **more))
        return order

    return finish


@pytest.fixture
def told(store):
    def read(sites=None):
        with store.session() as session:
            return {one.model.version: one for one in read_model_outcomes(session, sites)}

    return read


def test_figures_are_those_of_all_predictions_of_lives_that_failed(recorder, fly, conclude, told, clock):
    random, errors, covered = np.random.default_rng(0), [], []
    for number in range(3):
        serial, cycles = f"E{number}", 100 + 20 * number
        recorder.register(serial, position=str(number))
        noise = random.normal(4, 10, cycles + 1).round(2)

        def median(cycle, cycles=cycles, noise=noise):
            return float(max(cycles - cycle + noise[cycle], 0.5))

        clock.advance(HOUR)
        records = [recorder.prediction(serial, c, q50=median(c), spread=12.0) for c in range(1, cycles + 1)]
        recorder.send(*records)
        conclude(serial, "failed", cycle=cycles, remedy=Remedy.REPLACED)
        for cycle, record in enumerate(records, 1):
            label = min(cycles - cycle, 125.0)
            errors.append(min(max(record.rul_cycles.mean, 0.0), 125.0) - label)
            covered.append(min(record.rul_cycles.q05, 125.0) <= label <= record.rul_cycles.q95)
    figures = figures_of(told()["1.0.0"].failed)
    assert (figures.lives, figures.predictions) == (3, 360)
    assert figures.rmse_cycles == pytest.approx(math.sqrt(np.mean(np.square(errors))))
    assert figures.bias_cycles == pytest.approx(np.mean(errors))
    assert figures.coverage == pytest.approx(np.mean(covered))


def test_a_life_goes_over_stays_and_each_model_answers_for_its_own(store, recorder, fly, conclude, told, clock):
    recorder.register("E1")
    fly("E1", range(1, 31), lambda cycle: 60.0 - cycle)  # 50 are flown: 10 too many
    remove(store, "E1", clock(), clock())
    recorder.register("E9", gateway="gw-2", position="2")
    clock.advance(HOUR)
    install(store, NewInstallation("E1", "gw-2", "1", clock()), clock())
    for cycle in range(1, 21):
        clock.advance(HOUR)
        records = recorder.row("E1", cycle), recorder.prediction("E1", cycle, q50=16.0 - cycle + 10, model=NEWER)
        recorder.send(*records, gateway="gw-2")
    asked = recorder.prediction("E1", 20, q50=99.0, model=NEWER, origin="command", request_id="r")
    recorder.send(asked, gateway="gw-2")
    conclude("E1", "failed", cycle=20)
    figures = {version: figures_of(one.failed) for version, one in told().items()}
    assert {version: (one.predictions, round(one.bias_cycles, 9)) for version, one in figures.items()} == {
        "1.0.0": (30, 9.0),  # the mean is one below the median
        "1.1.0": (20, 5.0),
    }
    assert told(frozenset({"bremen"})) == {}


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_after_an_overhaul_or_a_failure_another_life_begins(store, recorder, fly, conclude, told, clock, rows):
    recorder.register("E1")
    fly("E1", range(1, 11), lambda _: 100.0)
    overhaul(store, NewOverhaul("E1", clock()), clock())
    fly("E1", range(11, 21), lambda cycle: 20.0 - cycle + 10)
    conclude("E1", "failed")
    fly("E1", range(21, 26), lambda cycle: 25.0 - cycle + 10)
    conclude("E1", "overhauled", cycle=25)
    failed, censored = sorted(rows(EndedLife), key=lambda row: row["work_order_id"])
    assert (failed["is_failure"], failed["cycles"], failed["predictions"]) == (True, 10, 10)
    assert (censored["is_failure"], censored["cycles"], censored["predictions"]) == (False, 5, 5)
    (one,) = told().values()
    assert figures_of(one.failed).bias_cycles == pytest.approx(9.0)
    assert [life.predictions for life in one.censored] == [5]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_an_engine_that_was_removed_and_failed_later_had_one_life(store, recorder, fly, conclude, told, clock, rows):
    recorder.register("E1")
    fly("E1", range(1, 11), lambda _: 30.0)
    removal = conclude("E1", "replaced")
    assert [row["is_failure"] for row in rows(EndedLife)] == [False]
    install(store, NewInstallation("E1", "gw-1", "1", clock()), clock())
    fly("E1", range(1, 6), lambda _: 30.0)
    failure = conclude("E1", "failed")
    (life,) = rows(EndedLife)
    assert (life["work_order_id"], life["cycles"], life["predictions"]) == (failure, 15, 15)
    Working(store, clock()).correct(failure, Conclusion(Outcome.NO_FAULT_FOUND, clock()), "it was the sensor")
    assert [row["work_order_id"] for row in rows(EndedLife)] == [removal]
    assert [row["work_order_id"] for row in rows(LifeScore)] == [removal]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_one_that_was_overhauled_in_between_had_two(store, recorder, fly, conclude, clock, rows):
    recorder.register("E1")
    fly("E1", range(1, 11), lambda _: 30.0)
    removal = conclude("E1", "replaced")
    clock.advance(HOUR)
    overhaul(store, NewOverhaul("E1", clock()), clock())
    clock.advance(HOUR)
    install(store, NewInstallation("E1", "gw-1", "1", clock()), clock())
    fly("E1", range(1, 6), lambda _: 30.0)
    failure = conclude("E1", "failed")
    told = [(row["work_order_id"], row["is_failure"], row["cycles"]) for row in rows(EndedLife)]
    assert sorted(told) == [(removal, False, 10), (failure, True, 5)]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_corrected_cycle_is_scored_anew(store, recorder, fly, conclude, told, clock):
    recorder.register("E1")
    fly("E1", range(1, 21), lambda cycle: 30.0 - cycle)
    order = conclude("E1", "failed", cycle=20)
    assert figures_of(told()["1.0.0"].failed).bias_cycles == pytest.approx(9.0)
    Working(store, clock()).correct(order, Conclusion(Outcome.FAILED, clock(), cycle=15), "after 15")
    figures = figures_of(told()["1.0.0"].failed)
    assert (figures.predictions, figures.bias_cycles) == (15, pytest.approx(14.0))


def test_predictions_that_come_late_are_counted_in_for_a_quarter(store, recorder, fly, conclude, clock, rows):
    recorder.register("E1")
    fly("E1", range(5, 11), lambda _: 30.0)
    conclude("E1", "failed", cycle=10)
    assert score_late(store, clock()) == 0
    recorder.send(*(recorder.prediction("E1", cycle, q50=30.0) for cycle in (1, 2, 3)))
    assert score_late(store, clock() + LATE + timedelta(days=1)) == 0
    clock.advance(HOUR)
    assert score_late(store, clock()) == 1
    (life,) = rows(EndedLife)
    assert (life["predictions"], life["scored_at"]) == (9, clock())
    (score,) = rows(LifeScore)
    assert score["sums"]["predictions"] == 9


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_life_is_scored_anew_once_somebody_tells_what_it_was(store, recorder, fly, conclude, clock, rows):
    recorder.register("E1")
    fly("E1", range(1, 11), lambda _: 30.0)
    overhauled_at = clock()
    fly("E1", range(11, 21), lambda _: 30.0)
    conclude("E1", "failed", cycle=20)
    assert [life["cycles"] for life in rows(EndedLife)] == [20]
    overhaul(store, NewOverhaul("E1", overhauled_at), clock())
    assert [score_late(store, clock()) for _ in range(2)] == [1, 0]
    (life,) = rows(EndedLife)
    assert (life["cycles"], life["predictions"]) == (10, 10)


def test_how_long_before_the_end_alarms_were_raised_and_models_would_have(recorder, fly, conclude, store, told, clock):
    recorder.register("E1")
    fly("E1", range(1, 61), lambda cycle: 60.0 - cycle + 10)  # q05 is 20 below
    conclude("E1", "failed", 1, 2, cycle=60)
    recorder.register("E2", position="2")
    fly("E2", range(1, 11), lambda _: 10.0)
    conclude("E2", "no_fault_found", 3)
    with store.session() as session:
        failures, (critical, low) = read_alarm_outcomes(session, None)
    # q05 is below 20 from cycle 31 on, the median below 50 from cycle 21 on; each takes three.
    assert told()["1.0.0"].leads == {"rul-critical": [60 - 33], "rul-low": [60 - 23]}
    assert failures == 1
    assert critical.leads == [AlarmLead(27, pytest.approx(27 / 24))]
    assert low.leads == [AlarmLead(37, pytest.approx(37 / 24))]
    assert (critical.outcomes, low.outcomes) == ({"failed": 1, "no_fault_found": 1}, {"failed": 1})
