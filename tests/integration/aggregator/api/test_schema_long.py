"""What test_schema.py does, with many more requests; a file of its own, because even to collect it takes long."""

import pytest
from hypothesis import settings

from tests.integration.aggregator.api.test_schema import SCHEMA, check
from tests.integration.aggregator.api.test_schema import server as server
from tests.integration.aggregator.api.test_schema import without_apprise as without_apprise

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@SCHEMA.parametrize()
@settings(max_examples=200, deadline=None)
def test_none_of_many_requests_finds_a_defect(case, server):
    check(case, *server)
