"""Times are spelt as SQLAlchemy spells them, whatever their zone."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.sqlite import DATETIME

from aggregator.store.bulk import utc_text

FIRST = datetime(1, 1, 3, tzinfo=UTC).replace(tzinfo=None)  # a zone away from the ends of the calendar
LAST = datetime(9999, 12, 29, tzinfo=UTC).replace(tzinfo=None)

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))) | st.just(UTC)
spell = DATETIME().bind_processor(None)


@given(st.datetimes(FIRST, LAST, timezones=zones))
def test_a_time_is_spelt_in_utc_as_sqlalchemy_would(at):
    assert utc_text(at) == spell(at.astimezone(UTC).replace(tzinfo=None))
