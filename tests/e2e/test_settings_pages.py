"""The pages on which rules and receivers are seen to, and what a page does beyond that only some may do."""

import re
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.conftest import Mosquitto
from tests.e2e.conftest import Aggregator, wait_until
from tests.e2e.test_page import Gateway

SHOTS = Path("test-results")
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """An aggregator with two engines, of which E-1 has worn out: it has an urgent alarm and another one."""
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    aggregator = Aggregator(tmp_path_factory.mktemp("centre"), broker)
    aggregator.start()
    for number, medians in ((1, (22.0 - cycle for cycle in range(12))), (2, (110.0,) * 5)):
        aggregator.register(f"E-{number}", f"gw-{number}")
        Gateway(broker, f"gw-{number}", f"E-{number}").send(*medians)
    wait_until(lambda: len(aggregator.pages("/alarms")) == 2, "E-1 raises its alarms")
    yield aggregator
    aggregator.api.close()
    aggregator.stop()
    broker.stop()


@pytest.fixture
def aggregator(lasting):
    return lasting


@pytest.fixture
def said():
    """What a page says has come of what somebody did."""
    return lambda page: page.get_by_role("status").filter(has_text=re.compile(".")).last


def shoot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def rule_row(page, name):
    return page.locator("tr", has=page.get_by_role("link", name=name, exact=True))


def test_a_rule_is_tried_edited_narrowed_switched_off_and_deleted(browse, aggregator, said):
    page = browse("/rules")
    critical = rule_row(page, "rul-critical")
    expect(critical).to_contain_text("fewer than 20 cycles are left")
    critical.focus()
    page.keyboard.press("t")
    expect(said(page)).to_have_text("rul-critical: would have raised 1 in 30 days, on 1 of 2 engines.")
    offline = rule_row(page, "gateway-offline")
    offline.focus()
    page.keyboard.press("t")
    expect(said(page)).to_contain_text("goes by the moment and not by records, so it cannot be tried.")
    offline.focus()
    page.keyboard.press("o")
    expect(offline).to_contain_text("disabled")
    shoot(page, "rules")
    critical.click()
    expect(page.get_by_role("heading", name="Rule rul-critical: all sites")).to_be_visible()
    page.get_by_label("Below cycles").fill("2")
    page.get_by_role("button", name="Try on 30 days").click()
    expect(said(page)).to_have_text("As it stands here it would have raised 0 in 30 days, on 0 of 2 engines.")
    page.get_by_label("Below cycles").fill("0")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(said(page)).to_have_text("Nothing was done: below cycles: input should be greater than 0.")
    page.get_by_label("Below cycles").fill("25")
    page.get_by_label("More urgent after (hours unseen)").fill("4")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(said(page)).to_have_text("Saved.")
    shoot(page, "rule")
    page.get_by_label("Site; all if empty").fill("hamburg")
    page.get_by_role("button", name="Add").click()
    expect(said(page)).to_contain_text("from now on it is followed")
    rules = {
        one["site"]: one for one in aggregator.api.get("/alarm-rules").json()["items"] if one["name"] == "rul-critical"
    }
    assert {one["condition"]["below_cycles"] for one in rules.values()} == {25}
    assert {one["escalates_after_s"] for one in rules.values()} == {14_400}
    page.goto(f"{aggregator.url}/rules/{rules['hamburg']['id']}")
    page.get_by_role("button", name="Delete").click()
    expect(said(page)).to_contain_text("Deleted")
    assert aggregator.api.get(f"/alarm-rules/{rules['hamburg']['id']}").status_code == 404
    assert page.wrong == []


def test_nobody_overwrites_an_edit_of_a_rule_that_they_have_not_seen(browse, aggregator, said):
    page = browse("/rules")
    rule_row(page, "sensor-bad").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    (rule,) = [one for one in aggregator.api.get("/alarm-rules").json()["items"] if one["name"] == "sensor-bad"]
    edit = {"priority": "low", "condition": rule["condition"] | {"rows": 7}}
    assert aggregator.api.put(f"/alarm-rules/{rule['id']}", json=edit).status_code == 200
    page.get_by_role("button", name="Save", exact=True).click()
    expect(said(page)).to_contain_text("it was edited since you read it")


def test_a_rule_of_any_kind_can_be_added(browse, aggregator, said):
    page = browse("/rules/new?kind=quarantine_growing")
    page.get_by_label("Above records").fill("3")
    page.get_by_label("Within (hours)").fill("1")
    page.get_by_label("Name").fill("quarantine-fast")
    page.get_by_role("button", name="Add").click()
    expect(said(page)).to_contain_text("from now on it is followed")
    (added,) = [one for one in aggregator.api.get("/alarm-rules").json()["items"] if one["name"] == "quarantine-fast"]
    assert (added["condition"]["above_records"], added["condition"]["within_s"]) == (3, 3600)


def test_a_receiver_is_added_tested_edited_and_its_secret_changed(browse, aggregator, said, hook):
    url, events = hook
    page = browse("/receivers")
    page.get_by_role("link", name="Add a receiver").click()
    page.get_by_label("Name").fill("cmms")
    page.get_by_label("Kind").click()
    page.get_by_role("option", name="a machine").click()
    page.get_by_label("URL, never shown again").fill("ftp://nowhere")
    page.get_by_role("button", name="Add").click()
    expect(said(page)).to_contain_text("Nothing was done: write the URL with its scheme and host")
    page.get_by_label("URL, never shown again").fill(url)
    page.get_by_label("One message per (minutes)").fill("5")
    shoot(page, "receiver-new")
    page.get_by_role("button", name="Add").click()
    expect(said(page)).to_contain_text("Its secret, which is shown only here: whsec_")
    page.get_by_role("link", name="← Receivers").click()
    cmms = rule_row(page, "cmms")
    expect(cmms).to_contain_text("raised, escalated; what comes in 5 min is one message")
    shoot(page, "receivers")
    cmms.click()
    page.get_by_role("button", name="Send a test").click()
    expect(said(page)).to_have_text("Sent: taken with status 204.")
    assert [event["type"] for event in events] == ["spoolwatch.test"]
    page.get_by_role("button", name="Draw a new secret").click()
    expect(said(page)).to_contain_text("whsec_")
    page.get_by_label("Quiet from, like 20:00").fill("20:00")
    page.get_by_role("button", name="Save").click()
    expect(said(page)).to_contain_text("Nothing was done: ")
    page.get_by_label("Quiet until, like 06:00").fill("06:00")
    page.get_by_label("Clocks of, like Europe/Berlin").fill("Europe/Berlin")
    page.get_by_role("button", name="Save").click()
    expect(said(page)).to_have_text("Saved.")
    shoot(page, "receiver")
    (receiver,) = aggregator.api.get("/receivers").json()["items"]
    assert receiver["wishes"]["quiet_hours"] == {"begin": "20:00", "end": "06:00", "zone": "Europe/Berlin"}
    page.get_by_role("button", name="Delete").click()
    expect(said(page)).to_have_text("Deleted.")
    assert aggregator.api.get("/receivers").json()["items"] == []
    assert page.wrong == []


def test_what_was_given_up_is_shown_and_sent_again(browse, aggregator, said, hook):
    url, events = hook
    body = {"name": "gone", "kind": "cloudevents", "url": f"http://127.0.0.1:{httpx.URL(aggregator.url).port}/nowhere"}
    wishes = {"events": ["alarm.commented"]}
    made = aggregator.api.post("/receivers", json=body | {"wishes": wishes}).json()
    (alarm, *_) = aggregator.pages("/alarms")
    aggregator.api.post(f"/alarms/{alarm['id']}/comments", json={"text": "parts are ordered"})
    page = browse("/receivers")
    gone = rule_row(page, "gone")
    expect(gone).to_contain_text("1 given up")
    gone.click()
    expect(page.get_by_text("alarm commented given up")).to_be_visible()
    page.get_by_label("Another URL").fill(url)
    page.get_by_role("button", name="Save").click()
    expect(said(page)).to_have_text("Saved.")
    page.get_by_role("button", name="Send again what was given up").click()
    expect(said(page)).to_have_text("gone: 1 are sent again.")
    wait_until(lambda: events, "it is taken")
    assert [event["type"] for event in events] == ["spoolwatch.alarm.commented"]
    assert aggregator.api.delete(f"/receivers/{made['id']}").status_code == 204


def test_an_engineer_cancels_an_order_and_corrects_an_outcome_and_a_technician_sets_a_priority(
    browse, aggregator, said
):
    alarm = next(one for one in aggregator.pages("/alarms") if one["rule"] == "rul-low")
    page = browse(f"/alarms/{alarm['id']}")
    page.get_by_role("button", name="Set priority").click()
    expect(said(page)).to_have_text("Nothing was done: say which priority, and why.")
    page.get_by_label("Priority", exact=True).click()
    page.get_by_role("option", name="low").click()
    page.get_by_label("Why it is more or less urgent").fill("on the ground")
    page.get_by_role("button", name="Set priority").click()
    expect(page.get_by_text("to low: on the ground")).to_be_visible()
    for _ in range(2):
        assert aggregator.api.post("/work-orders", json={"engine": "E-2", "reason": "noise"}).status_code == 201
    page.goto(f"{aggregator.url}/work-orders/1")
    page.get_by_role("button", name="Cancel the order").click()
    expect(said(page)).to_have_text("Nothing was done: say for what reason.")
    page.get_by_label("Why it will not be done").fill("it was the radio")
    page.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_text("it was the radio")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the order")).to_be_hidden()
    outcome = {"outcome": "no_fault_found", "note": "all well"}
    assert aggregator.api.post("/work-orders/2/outcome", json=outcome).status_code == 200
    page.goto(f"{aggregator.url}/work-orders/2")
    page.get_by_label("What it was").click()
    page.get_by_role("option", name="overhauled, had not failed").click()
    page.get_by_label("For what reason").fill("the shop did it after all")
    shoot(page, "work-order-correct")
    page.get_by_role("button", name="Correct").click()
    expect(page.get_by_text("overhauled: the shop did it after all")).to_be_visible()
    assert aggregator.api.get("/work-orders/2").json()["outcome"] == "overhauled"
    assert page.wrong == []


@pytest.mark.parametrize("path", ["/rules", "/rules/1", "/rules/new", "/receivers", "/receivers/new"])
def test_no_settings_page_keeps_anybody_out_and_none_is_wider_than_a_phone(browse, path):
    page = browse(path)
    expect(page.locator("h1, tbody tr").first).to_be_attached()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == [], (path, scheme)
        phone = browse(path, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        expect(phone.locator("h1, tbody tr").first).to_be_attached()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        shoot(phone, f"{path.strip('/').replace('/', '-')}-phone-{scheme}")
        page.screenshot(path=SHOTS / f"{path.strip('/').replace('/', '-')}-{scheme}.png", full_page=True)


def test_on_a_wall_screen_lists_are_as_wide_as_it_and_can_be_read_from_afar(browse):
    for path in ("/", "/alarms"):
        page = browse(path, viewport={"width": 3840, "height": 2160})
        name = page.locator(".sw-name").first
        expect(name).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 3840
        assert page.locator(".sw-table").bounding_box()["width"] > 0.8 * 3840
        assert name.bounding_box()["height"] > 30


def test_p8_who_is_no_engineer_or_admin_there_is_shown_none_of_it(aggregator):
    """The last of all, because from the first account on everybody is asked who they are."""
    everywhere = {"name": "root", "password": PASSWORD, "grants": [{"role": "admin", "site": "*"}]}
    assert aggregator.api.post("/people", json=everywhere).status_code == 201
    begun = aggregator.api.post("/sessions", json={"name": "root", "password": PASSWORD}).json()
    headers = {"Authorization": f"Bearer {begun['access_token']}"}
    hook = {"name": "theirs", "site": "bremen", "kind": "cloudevents", "url": "http://127.0.0.1:1/"}
    receiver = aggregator.api.post("/receivers", json=hook, headers=headers).json()["id"]
    rule = {"name": "theirs", "site": "bremen", "priority": "low", "condition": {"kind": "sensor_bad"}}
    rule = aggregator.api.post("/alarm-rules", json=rule, headers=headers).json()["id"]
    found = {}
    for role in ("viewer", "technician", "engineer", "admin"):
        body = {"name": role, "password": PASSWORD, "grants": [{"role": role, "site": "hamburg"}]}
        assert aggregator.api.post("/people", json=body, headers=headers).status_code == 201
        with httpx.Client(base_url=aggregator.url, headers={"Accept": "text/html"}, timeout=30) as visitor:
            visitor.post("/login", data={"name": role, "password": PASSWORD, "to": "/"})
            paths = ("/rules/1", f"/rules/{rule}", "/rules/new", f"/receivers/{receiver}", "/receivers/new")
            found[role] = [visitor.get(path).status_code for path in paths]
            assert "theirs" not in visitor.get("/rules").text + visitor.get("/receivers").text
            may_save = role in ("engineer", "admin")
            assert ("Try on 30 days" in visitor.get("/rules/1").text) == may_save
            assert "Save" not in visitor.get("/rules/1").text  # which is for all sites
    assert found == {
        "viewer": [403] * 5,
        "technician": [403] * 5,
        "engineer": [200, 404, 200, 403, 403],
        "admin": [200, 404, 200, 404, 200],
    }
