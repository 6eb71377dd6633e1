"""One whole story, with real programs and a real browser: from an engine that wears out to what its model was worth."""

from playwright.sync_api import expect

from simulators.engine_model import SimulatedEngine

LIFE = [(1, cycle, values) for cycle, values, _ in SimulatedEngine("E-1", seed=7).rows()]


def test_an_engine_degrades_somebody_is_told_and_sees_to_it_and_the_model_is_scored(
    browse, aggregator, make_agent, hook, wait_until
):
    url, events = hook
    told = {"name": "cmms", "kind": "cloudevents", "url": url, "wishes": {"priority": "urgent"}}
    assert aggregator.api.post("/receivers", json=told).status_code == 201
    aggregator.register("E-1", "gw-1")
    page = browse("/alarms")
    agent = make_agent()
    agent.start()
    agent.feed(*LIFE)

    critical = page.locator("tr", has_text="rul-critical")
    expect(critical).to_contain_text("E-1")
    wait_until(lambda: "alarm.raised" in str(events), "the webhook is told")
    assert [event["data"]["alarm"]["rule"] for event in events] == ["rul-critical"]
    wait_until(lambda: len(aggregator.history("E-1", "predictions")) == len(LIFE), "its whole life is predicted")

    critical.focus()
    page.keyboard.press("a")
    expect(page.get_by_role("status")).to_have_text("1 acknowledged.")
    page.keyboard.press("x")
    page.keyboard.press("w")
    expect(critical).to_contain_text("work order 1")

    page.get_by_role("link", name="Work", exact=True).click()
    page.locator("tr", has_text="work order 1").click()
    page.get_by_label("Outcome").click()
    page.get_by_role("option", name="failed, replaced").click()
    page.get_by_label("After which cycle").fill(str(len(LIFE)))
    page.get_by_label("What was found").fill("blade 7 is cracked")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("status").filter(has_text="Done.")).to_be_visible()
    expect(page.locator(".sw-title .sw-badge")).to_have_text("done")

    page.get_by_role("link", name="Models").click()
    expect(page.locator("tbody tr")).to_contain_text("1 failed")
    expect(page.locator("tbody tr")).to_contain_text("of fewer than 5 lives")
    page.get_by_role("link", name="Alarms").click()
    expect(critical).to_have_count(0)
    assert page.wrong == []
