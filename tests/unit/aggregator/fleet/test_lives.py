"""Judging many lives at once says what judging each says."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aggregator.fleet.due import Life, Verdict, judge
from aggregator.fleet.lives import NEVER, Lives
from aggregator.fleet.rul import Rul
from aggregator.fleet.utilisation import Utilisation

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LIMIT = 100

ruls = st.builds(
    lambda quantiles, cap: Rul(quantiles[1], *sorted(quantiles), cap),
    st.lists(st.integers(-20, 200).map(float), min_size=3, max_size=3),
    st.sampled_from([60.0, 125.0]),
)
lives = st.builds(
    Life,
    st.none() | ruls,
    st.none() | st.sampled_from([1e-6, 0.5, 4.0, 7.0]).map(lambda rate: Utilisation(rate, "measured")),
    st.integers(0, 150),
    st.sampled_from([NOW, NOW - timedelta(days=3, microseconds=1)]),
    st.booleans(),
)
fleets = st.lists(lives, max_size=12).map(lambda every: [(10 + at, f"E-{at:02}", one) for at, one in enumerate(every)])
confidences = st.sampled_from([0.05, 0.3, 0.5, 0.9, 0.95])
days = st.integers(-1, 60) | st.just(40_000)


def place_of(one):
    _, serial, judgement = one
    return (NEVER if judgement.due is None else judgement.due.at), serial


@given(fleets, st.randoms(), confidences, days)
def test_each_is_judged_as_if_it_were_alone_and_listed_by_its_date_and_serial(fleet, chance, confidence, ahead):
    before = NOW + timedelta(days=ahead)
    alone = [(engine_id, serial, judge(life, confidence, before)) for engine_id, serial, life in fleet]
    chance.shuffle(fleet)
    judged = Lives.of(fleet).judge(confidence, before)
    assert judged.counts() == {each: sum(one.verdict is each for _, _, one in alone) for each in Verdict}
    for verdict in Verdict:
        expected = sorted((one for one in alone if one[2].verdict is verdict), key=place_of)
        assert judged.first(verdict, None, LIMIT) == expected
        for at, one in enumerate(expected):
            assert judged.first(verdict, place_of(one), 1) == expected[at + 1 : at + 2]
