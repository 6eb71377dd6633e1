"""Times in requests: an instant that UTC has, or refused."""

from datetime import UTC, datetime

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter

from aggregator.api.paging import cursor_of, place_of
from aggregator.api.routes import api_keys, engines, fleet, installations
from aggregator.api.schemas.installations import InstallationQuery

ID = "7f0c4c3e-0a51-4a0e-9c1e-6f1f1a5d2f10"
PLACES = [api_keys._PLACE, engines._PLACES["last_seen"], fleet._PLACE, installations._PLACE]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_cursor_whose_time_is_no_instant_is_refused(place: TypeAdapter[tuple[datetime, str]], at: str) -> None:
    with pytest.raises(RequestValidationError, match="not a cursor of this list"):
        place_of(cursor_of((at, ID)), place)
    assert place_of(cursor_of(("2026-01-01T01:00:00+01:00", ID)), place) == (datetime(2026, 1, 1, tzinfo=UTC), ID)


@pytest.mark.parametrize(
    "at", ["2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", 0, "0.5", "1e9", "1764547200", True]
)
def test_a_time_asked_for_that_is_no_instant_is_refused(at: object) -> None:
    with pytest.raises(ValueError, match=r"timezone info|in UTC|as RFC 3339 says"):
        InstallationQuery.model_validate({"at": at})
