import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import BundleError
from shared.features import Features, feature_names

SAME_SPEC = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@st.composite
def lives(draw):
    """A life of random rows, some channels missing, over both regimes, with cycles skipped."""
    rows = draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = np.array([640.0, 1580.0, 550.0]) + generator.normal(0, 5, (rows, 3)).cumsum(axis=0)
    values[generator.random((rows, 3)) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = np.nan
    values[: draw(st.sampled_from([0, 0, 7])), 1] = np.nan
    lost = draw(st.integers(0, rows))
    values[lost : lost + draw(st.sampled_from([0, 3, 14])), draw(st.integers(0, 2))] = np.nan
    altitude = generator.choice([0.0, 0.003, 20.0, 10.0, np.nan], rows)
    values[altitude == 20] -= [40.0, 180.0, 250.0]
    return draw(st.integers(0, 2)) + generator.choice([1, 1, 1, 3], rows).cumsum(), altitude, values


def by_name(spec, features):
    return dict(zip(feature_names(spec), features.tolist(), strict=True))


def step_through(features, cycles, altitude, values):
    state = features.new_state()
    rows = zip(cycles.tolist(), altitude.tolist(), values, strict=True)
    return np.array([features.step(state, *row) for row in rows]), state


@SAME_SPEC
@given(lives(), st.data())
def test_stepping_with_a_restart_anywhere_equals_the_whole_life_at_once(spec, life, data):
    features = Features(spec)
    age_known = data.draw(st.booleans())
    restart_at = data.draw(st.integers(0, len(life[0]) - 1))
    state, stepped = features.new_state(), []
    for number, (cycle, altitude, values) in enumerate(zip(*life, strict=True)):
        if number == restart_at:
            state = Features(spec).from_bytes(features.to_bytes(state))
        stepped.append(features.step(state, int(cycle), float(altitude), values, age_known=age_known))
    whole = features.life(*life)
    shown = features.with_age(whole) if age_known else features.without_age(whole)
    np.testing.assert_allclose(stepped, shown, rtol=0, atol=1e-5)


@SAME_SPEC
@given(lives())
def test_features_never_look_ahead_and_are_always_finite(spec, life):
    features = Features(spec)
    whole = features.life(*life)
    half = len(whole) // 2 + 1
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(features.life(*(part[:half] for part in life)), whole[:half], rtol=0, atol=1e-5)


def test_each_statistic_is_what_its_name_says(spec):
    rows, features = 40, Features(spec)
    z = np.arange(rows) * 0.1
    values = np.array([640.0, 1580.0, 550.0]) + np.outer(z, [0.5, 6.0, 1.0])
    found = by_name(spec, features.life(np.arange(1, rows + 1), np.zeros(rows), values)[-1])
    ewma = z[0]
    for value in z:
        ewma += 0.1 * (value - ewma)
    expected = {
        "T24.ewma": ewma,
        "T24.since_baseline": ewma - z[:5].mean(),
        "T30.mean3": z[-3:].mean(),
        "P30.mean12": z[-12:].mean(),
        "T24.lag4": z[-4:].mean() - z[-8:-4].mean(),
        "T24.slope6": 0.1,
        "health0.slope6": 0.1 * (0.6 + 0.8 - 0.5),
        "age": rows,
        "age_known": 1,
        "baseline_known": 1,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-4)


def test_without_its_age_a_row_shows_the_long_slopes_instead_and_nothing_else_differs(spec):
    features = Features(spec)
    whole = features.life(np.arange(1, 31), np.zeros(30), wearing(30))[-1]
    known, unknown = by_name(spec, features.with_age(whole)), by_name(spec, features.without_age(whole))
    long_slopes = {name: value for name, value in unknown.items() if name.endswith(".slope9")}
    assert len(long_slopes) == 4
    assert all(long_slopes.values())
    assert (known["age"], known["age_known"]) == (30, 1)
    assert unknown == known | {"age": 0, "age_known": 0} | long_slopes


def test_operating_conditions_may_stand_in_any_order_in_the_specification(spec):
    turned = Features(msgspec.structs.replace(spec, regimes=spec.regimes[::-1]))
    altitude = np.array([0.0, 20.0, 0.4, 19.5])
    values = np.where(altitude[:, None] < 10, wearing(4), [600.7, 1391.0, 302.0])
    found = turned.life(np.arange(1, 5), altitude, values)
    np.testing.assert_array_equal(found, Features(spec).life(np.arange(1, 5), altitude, values))


GOOD = np.array([640.5, 1580.0, 550.0])
WITHOUT_BASELINE = {f"{track}.since_baseline": 0 for track in ("T24", "T30", "P30", "health0")} | {"baseline_known": 0}


def wearing(rows):
    """Rows of an engine whose channels drift."""
    return np.array([640.0, 1580.0, 550.0]) + np.outer(np.arange(rows), [0.2, 2.0, 0.3])


def test_a_history_that_starts_late_says_so_and_has_no_distance_from_its_first_rows(spec):
    early, late = (
        by_name(spec, Features(spec).life(np.arange(first, first + 8), np.zeros(8), wearing(8))[-1]) for first in (3, 4)
    )
    assert early["T24.since_baseline"] > 0
    assert early["baseline_known"] == 1
    assert late == early | WITHOUT_BASELINE | {"age": 11}


@pytest.mark.parametrize(
    ("cycles", "known"),
    [
        ([1, 2, 3, 60, 61], [1, 1, 1, 0, 0]),
        ([1, 2, 5, 6, 7, 8, 60], [1] * 7),
        ([1, 2, 6, 7, 8], [1, 1, 0, 0, 0]),
        ([3, 4, 5, 7, 8], [1, 1, 1, 0, 0]),
    ],
)
def test_first_rows_with_a_gap_among_them_are_no_baseline_once_they_are_too_late(spec, cycles, known):
    found = Features(spec).life(np.array(cycles), np.zeros(len(cycles)), wearing(len(cycles)))
    assert found[:, -1].tolist() == known


@pytest.mark.parametrize(
    ("rows", "channels", "known"),
    [
        ([0, 1, 2], [1], 1),
        ([0, 1, 2], [0, 1], 0),
        ([1], [0, 1, 2], 1),
        ([0, 3], [0, 1], 0),
        ([5, 6, 7], [0, 1, 2], 1),
    ],
)
def test_first_rows_that_lack_more_than_a_quarter_of_their_values_are_no_baseline_ever(spec, rows, channels, known):
    values = wearing(30)
    values[np.ix_(rows, channels)] = np.nan
    found = by_name(spec, Features(spec).life(np.arange(1, 31), np.zeros(30), values)[-1])
    assert found["baseline_known"] == known
    if not known:
        assert found == found | WITHOUT_BASELINE


def test_first_rows_under_an_unknown_operating_condition_are_no_baseline(spec):
    altitude = np.array([10.0, 10.0, 10.0, 0.0, 0.0])
    assert Features(spec).life(np.arange(1, 6), altitude, wearing(5))[-1, -1] == 0


@pytest.mark.parametrize("first", [2, 5, 14])
def test_a_channel_begins_with_its_first_value_as_if_it_had_always_been_so(spec, first):
    values = np.tile(GOOD, (first + 3, 1))
    values[:first, 0] = np.nan
    found = by_name(spec, Features(spec).life(np.arange(1, first + 4), np.zeros(first + 3), values)[-1])
    assert [found[f"T24.{name}"] for name in ("ewma", "mean3", "mean12")] == pytest.approx([1, 1, 1])
    assert [found[f"T24.{name}"] for name in ("since_baseline", "lag4", "slope6")] == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize(("outage", "mean12"), [(11, 1 / 12), (12, 1)])
def test_a_channel_begins_anew_once_the_window_holds_none_of_its_values(spec, outage, mean12):
    values = np.tile([640.0, 1580.0, 550.0], (30, 1))
    back = 10 + outage
    values[10:back, 0], values[back, 0] = np.nan, 640.5
    found = by_name(spec, Features(spec).life(np.arange(1, 31), np.zeros(30), values)[back])
    assert found["T24.mean12"] == pytest.approx(mean12)
    assert found["T24.since_baseline"] == pytest.approx(1 if mean12 == 1 else 0.1)


def test_stand_ins_count_up_with_every_missing_value_to_the_window_and_down_with_every_other(spec):
    features = Features(spec)
    state = features.new_state()
    held = []
    for cycle in range(1, 41):
        lost = 5 <= cycle < 8 or 15 <= cycle < 35
        features.step(state, cycle, 0.0, np.where([lost, False, False], np.nan, GOOD))
        held.append(state.held.tolist())
    assert [first for first, *_ in held] == [0] * 4 + [1, 2, 3, 2, 1] + [0] * 5 + [*range(1, 13)] + [12] * 8 + [
        *range(11, 5, -1)
    ]
    assert all(others == [0, 0] for _, *others in held)


@pytest.mark.parametrize(("values", "known"), [([643.5, 1580.0, 550.0], True), ([643.5, 1616.5, 550.0], False)])
def test_a_row_of_which_more_than_a_third_is_beyond_the_clip_is_not_of_its_regime_and_held(spec, values, known):
    features = Features(spec)
    state = features.new_state()
    features.step(state, 1, 0.0, GOOD)
    features.step(state, 2, 0.0, np.array(values))
    assert state.regime_known is known
    assert state.held.tolist() == ([0] * 3 if known else [1] * 3)
    features.step(state, 3, 0.0, np.array([np.nan, np.nan, 550.0]))
    assert state.regime_known


@pytest.mark.parametrize("altitude", [10.0, np.nan, 1e30])
def test_in_an_unknown_regime_every_channel_is_held(spec, altitude):
    features = Features(spec)
    settings = np.array([0.0, altitude])
    rows = np.array([[640.5, 1580.0, 550.0], [645.0, 1600.0, 555.0]])
    found = [by_name(spec, row) for row in features.life(np.array([1, 2]), settings, rows)]
    assert found[1]["T24.mean3"] == found[0]["T24.mean3"] == pytest.approx(1)


def test_a_first_row_counts_as_if_it_had_always_been_so(spec):
    found = by_name(spec, Features(spec).life(np.array([1]), np.zeros(1), np.array([[640.5, 1580.0, 550.0]]))[0])
    assert [found[f"T24.{name}"] for name in ("ewma", "mean3", "mean12")] == pytest.approx([1, 1, 1])
    assert [found[f"T24.{name}"] for name in ("since_baseline", "lag4", "slope6")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_row_is_scored_in_the_regime_of_the_nearest_setting(spec):
    features = Features(spec)
    low, high = np.array([640.5, 1580.0, 550.0]), np.array([600.7, 1400.0, 300.0])
    cycles, altitude = np.array([1, 2]), np.array([0.008, 19.9])
    found = features.life(cycles, altitude, np.array([low, high]))
    assert [by_name(spec, row)["T24.mean3"] for row in found] == pytest.approx([1, 1], abs=1e-4)


@pytest.mark.parametrize("part", ["center", "scale"])
def test_a_specification_that_standardises_another_number_of_features_is_refused(spec, part):
    short = msgspec.structs.replace(spec, **{part: getattr(spec, part)[1:]})
    with pytest.raises(BundleError, match=r"centers and .* scales for .* features; install the released bundle again"):
        Features(short)


def test_an_absurd_value_is_limited(spec):
    found = Features(spec).life(np.array([1]), np.zeros(1), np.array([[1e30, 1580.0, 550.0]]))[0]
    assert by_name(spec, found)["T24.ewma"] == spec.z_clip


def test_features_are_standardised_and_clipped(spec):
    width = len(spec.center)
    standardised = msgspec.structs.replace(spec, center=[1.0] * width, scale=[2.0] * width, clip=3.0)
    row = (np.array([400]), np.zeros(1), np.array([[641.5, 1580.0, 550.0]]))
    found = by_name(spec, Features(standardised).life(*row)[0])
    assert (found["T24.ewma"], found["age"]) == pytest.approx((1.0, 3.0))


def test_a_state_is_small(spec):
    features = Features(msgspec.structs.replace(spec, window_rows=50))
    assert len(features.to_bytes(features.new_state())) < 10_000


def test_a_state_of_another_specification_or_a_damaged_one_is_refused(spec):
    features = Features(spec)
    stored = features.to_bytes(features.new_state())
    other = Features(msgspec.structs.replace(spec, ewma_alpha=0.2))
    for reader, content in ((other, stored), (features, stored[:-1]), (features, b"")):
        with pytest.raises(BundleError, match="not of this model"):
            reader.from_bytes(content)


def test_a_specification_for_another_implementation_is_refused(spec):
    with pytest.raises(BundleError, match="features version 99"):
        Features(msgspec.structs.replace(spec, version=99))
