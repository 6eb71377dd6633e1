import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TopicError
from shared.topics import KINDS, GatewayTopic, centre_status, check_site, every_gateway

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)


@given(names.filter(lambda name: name != "centre"), names, st.sampled_from(sorted(KINDS)))
def test_parsing_undoes_building(site, gateway, kind):
    topic = GatewayTopic(site, gateway, kind)
    assert GatewayTopic.parse(str(topic)) == topic


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "spoolwatch/v1/site/gw",
        "spoolwatch/v1/site/gw/records/more",
        "spoolwatch/v2/site/gw/records",
        "spoolwatch/v1/site/gw/unknown",
        "spoolwatch/v1/centre/gw/records",
        "spoolwatch/v1/si te/gw/records",
        "spoolwatch/v1/site/+/records",
        "spoolwatch/v1/site/gw\n/records",
    ],
)
def test_a_topic_that_is_not_of_the_contract_is_refused_with_its_reason(topic):
    with pytest.raises(TopicError, match=r"\w"):
        GatewayTopic.parse(topic)


def test_the_site_of_the_centre_is_reserved():
    with pytest.raises(TopicError, match="reserved"):
        check_site("centre")


def test_filters_match_one_kind_of_every_gateway():
    assert every_gateway("ack") == "spoolwatch/v1/+/+/ack"
    assert centre_status("a") == "spoolwatch/v1/centre/a/status"
