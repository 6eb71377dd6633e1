"""Machines are told by signed CloudEvents, posted to a real HTTP server."""

from tests.integration.aggregator.notify.conftest import SOURCE, is_signed


async def test_a_raised_alarm_arrives_as_a_signed_cloudevent(webhooks, add, send, wear_out, clock):
    _, secret = await add("cmms", webhooks.url)
    wear_out("ESN-1001")
    await send()
    urgent, medium = webhooks.events()
    assert [urgent["data"]["alarm"]["priority"], medium["data"]["alarm"]["priority"]] == ["urgent", "medium"]
    assert (urgent["specversion"], urgent["source"], urgent["type"]) == ("1.0", SOURCE, "spoolwatch.alarm.raised")
    assert (urgent["subject"], urgent["time"]) == ("engines/ESN-1001", clock().isoformat())
    assert urgent["id"] != medium["id"]
    for (headers, body), event in zip(webhooks.got, webhooks.events(), strict=True):
        assert headers["Content-Type"].startswith("application/cloudevents+json")
        assert headers["webhook-id"] == event["id"]
        assert is_signed(headers, body, secret)
        assert not is_signed(headers, body + b" ", secret)
    await send()
    assert len(webhooks.got) == 2
