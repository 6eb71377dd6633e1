"""Due dates follow from cycles and utilisation, and say what they do not know."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aggregator.fleet.due import Doubt, DueDate, Judgement, Life, Verdict, cycles_at, due_date, judge
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)

confidences = st.floats(min_value=0.05, max_value=0.95)
rates = st.floats(min_value=0.01, max_value=1000)


@st.composite
def lives(draw: st.DrawFn) -> Rul:
    q05, q50, q95 = sorted(draw(st.lists(st.floats(min_value=-20, max_value=200), min_size=3, max_size=3)))
    return Rul(mean=q50, q05=q05, q50=q50, q95=q95, cap=draw(st.sampled_from([60.0, 125.0])))


def entered(cycles_per_day: float) -> Utilisation:
    return Utilisation(cycles_per_day, "entered")


def ends(rul: Rul, rate: float, confidence: float, flown_cycles: int = 0) -> DueDate:
    due = due_date(Life(rul, entered(rate), flown_cycles, NOW), confidence)
    assert due is not None
    return due


@given(lives())
def test_at_the_stated_quantiles_it_is_the_quantile(rul: Rul) -> None:
    assert [cycles_at(rul, confidence) for confidence in (0.95, 0.5, 0.05)] == [
        pytest.approx(quantile) for quantile in (rul.q05, rul.q50, rul.q95)
    ]


@given(lives(), confidences, confidences, rates)
def test_more_confidence_is_never_due_later(rul: Rul, one: float, other: float, rate: float) -> None:
    surer, bolder = (ends(rul, rate, confidence) for confidence in (max(one, other), min(one, other)))
    assert surer.at <= bolder.at + timedelta(milliseconds=1)


@given(lives(), confidences, rates, st.floats(min_value=1, max_value=5))
def test_who_flies_more_is_never_due_later(rul: Rul, confidence: float, rate: float, times: float) -> None:
    often, seldom = (ends(rul, each, confidence) for each in (rate * times, rate))
    assert NOW <= often.at <= seldom.at


@given(lives(), confidences, rates, st.integers(0, 400), st.integers(0, 400))
def test_who_is_due_before_a_date_is_due_before_each_later_one(
    rul: Rul, confidence: float, rate: float, days: int, more: int
) -> None:
    life = Life(rul, entered(rate), 0, NOW)
    early, late = (judge(life, confidence, NOW + each * DAY) for each in (days, days + more))
    assume(early.verdict is Verdict.DUE)
    assert late == early


@given(lives(), confidences, rates, st.integers(0, 200), st.integers(0, 4000))
def test_p7_nobody_at_the_cap_is_called_due(rul: Rul, confidence: float, rate: float, flown: int, days: int) -> None:
    judged = judge(Life(rul, entered(rate), flown, NOW), confidence, NOW + days * DAY)
    assert judged.due is not None
    assert judged.due.not_before == rul.at_cap(cycles_at(rul, confidence))
    if judged.due.not_before:
        assert judged.verdict is not Verdict.DUE
        assert judged.due.cycles == max(0.0, rul.cap - flown)


LIFE = Rul(mean=50, q05=30, q50=50, q95=130, cap=125)


@pytest.mark.parametrize(("confidence", "days", "not_before"), [(0.95, 6, False), (0.5, 10, False), (0.05, 25, True)])
def test_a_life_ends_after_its_cycles_at_its_utilisation(confidence: float, days: int, not_before: bool) -> None:
    due = ends(LIFE, 5, confidence)
    assert (due.at, due.not_before) == (NOW + days * DAY, not_before)


@pytest.mark.parametrize(
    ("rul", "utilisation", "days", "verdict", "doubt"),
    [
        (LIFE, entered(5), 10, Verdict.NOT_DUE, None),
        (LIFE, entered(5), 11, Verdict.DUE, None),
        (Rul(mean=0, q05=-5, q50=-1, q95=2, cap=125), None, 1, Verdict.DUE, None),
        (LIFE, None, 1000, Verdict.UNDETERMINED, Doubt.NO_UTILISATION),
        (None, entered(5), 1000, Verdict.UNDETERMINED, Doubt.NO_PREDICTION),
        (Rul(mean=125, q05=90, q50=126, q95=140, cap=125), entered(5), 25, Verdict.NOT_DUE, None),
        (Rul(mean=125, q05=90, q50=126, q95=140, cap=125), entered(5), 26, Verdict.UNDETERMINED, Doubt.AT_CAP),
    ],
)
def test_an_engine_is_due_not_due_or_nobody_can_tell(
    rul: Rul | None, utilisation: Utilisation | None, days: int, verdict: Verdict, doubt: Doubt | None
) -> None:
    judged = judge(Life(rul, utilisation, 0, NOW), 0.5, NOW + days * DAY)
    assert judged == Judgement(verdict, judged.due, doubt)


def test_an_engine_that_hardly_flies_is_due_in_a_century_at_most() -> None:
    assert ends(LIFE, 1e-9, 0.5).at.year == 2126


@pytest.mark.parametrize(("flown_cycles", "days"), [(20, 6), (50, 0), (60, 0)])
def test_cycles_flown_since_the_prediction_are_gone(flown_cycles: int, days: int) -> None:
    assert ends(LIFE, 5, 0.5, flown_cycles).at == NOW + days * DAY


@pytest.mark.parametrize("confidence", [0.04, 0.96, 0.99])
def test_more_confidence_than_the_quantiles_state_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="is not from"):
        cycles_at(LIFE, confidence)
