"""The pages as a person sees them: a real browser, a real aggregator, records over a real broker."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import httpx
import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from paho.mqtt import publish
from playwright.sync_api import expect

from aggregator.access.roles import Role
from aggregator.dashboard.frame import PAGES
from aggregator.released import model_named
from shared.cmapss import CHANNELS
from shared.messages import (
    ModelRef,
    OutboxStatus,
    Prediction,
    RulCycles,
    Session,
    SourceStatus,
    Status,
    Telemetry,
    Window,
    encode,
    envelope,
)
from shared.topics import GatewayTopic
from simulators.engine_model import SimulatedEngine
from tests.conftest import Mosquitto
from tests.e2e.conftest import Aggregator, wait_until

# The chart is a canvas: some of its pixels are of the curve's blue.
CURVE_IS_DRAWN = """() => {
  const canvas = document.querySelector(".sw-chart canvas");
  if (!canvas) return false;
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i] === 0x3b && pixels[i + 1] === 0x82 && pixels[i + 2] === 0xf6) return true;
  return false;
}"""
WHOLE_PLAN = {
    "capacity_per_week": 9,
    "unplanned_removal_cost": 5,
    "planned_removal_cost": 1,
    "wasted_cycle_cost": 0,
}
SHOTS = Path("test-results")
PHONE = {"width": 390, "height": 844}
PLAN = {
    "Removals per week": "2",
    "Cost of an unplanned removal": "500000",
    "Cost of a planned removal": "100000",
    "Cost of a wasted cycle": "500",
    "Weeks": "8",
}
MODEL = ModelRef(name="turbofan", version="1.0.0", sha256="5a" * 32)


class Gateway:
    """Says over MQTT what an agent would say, with predictions that the test chooses."""

    def __init__(self, broker, name, serial, site="hamburg"):
        self._broker, self._name, self.serial, self._site = broker, name, serial, site
        self.model = MODEL
        self._seq = 0
        self._rows = SimulatedEngine(serial, seed=7).rows()

    def send(self, *medians):
        """The engine's next rows, one per median that is predicted."""
        records = []
        for median, (cycle, values, _) in zip(medians, islice(self._rows, len(medians)), strict=True):
            records += [self._row(cycle, values), self._prediction(cycle, median)]
        self._publish("records", envelope(f"s-{self._name}", self._numbered(records)))

    def refuse(self, reason):
        """Send a row that has lost all channels but one, and so gives no prediction."""
        cycle, values, _ = next(self._rows)
        row = msgspec.structs.replace(self._row(cycle, values), channels={"T24": 642.0}, refusal=reason)
        self._publish("records", envelope(f"s-{self._name}", self._numbered([row])))

    def say(self, event):
        status = Status(
            event=event,
            session=Session(counter=1, boot_nonce="n"),
            stream_id=f"s-{self._name}",
            next_seq=self._seq + 1,
            sent_at=datetime.now(UTC),
            heartbeat_interval_s=60.0,
            agent_version="0.1.0",
            engines=[self.serial],
            source=SourceStatus(kind="file", state="reading"),
            outbox=OutboxStatus(),
        )
        self._publish("status", encode(status))

    def _numbered(self, records):
        for record in records:
            self._seq += 1
            yield self._seq, encode(record)

    def _row(self, cycle, values):
        channels = dict(zip(CHANNELS, values, strict=True))
        return Telemetry(engine=self.serial, cycle=cycle, observed_at=datetime.now(UTC), channels=channels)

    def _prediction(self, cycle, median):
        return Prediction(
            engine=self.serial,
            cycle=cycle,
            observed_at=datetime.now(UTC),
            predicted_at=datetime.now(UTC),
            rul_cycles=RulCycles(mean=median, q05=median * 0.7, q50=median, q95=median * 1.3),
            cap_cycles=125.0,
            model=self.model,
            runtime="tflite-runtime 2.14.0",
            window=Window(first_cycle=1, last_cycle=cycle, rows=cycle),
            input=b"\x00",
        )

    def _publish(self, kind, payload):
        topic = str(GatewayTopic(self._site, self._name, kind))
        publish.single(topic, payload, qos=1, hostname=self._broker.host, port=self._broker.port)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory):
    """A broker and an aggregator for all who look at one engine, or at none."""
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    broker.start()
    aggregator = Aggregator(tmp_path_factory.mktemp("centre"), broker)
    aggregator.start()
    yield broker, aggregator
    aggregator.api.close()
    aggregator.stop()
    broker.stop()


@pytest.fixture
def gateway(aggregator, mosquitto):
    """One engine, E-1 if it is the first, at one gateway that has just come online."""
    number = len(aggregator.pages("/gateways")) + 1
    aggregator.register(f"E-{number}", f"gw-{number}")
    gateway = Gateway(mosquitto, f"gw-{number}", f"E-{number}")
    gateway.say("birth")
    return gateway


def row(page, serial):
    return page.locator(f'tr[data-key="{serial}"]')


def count(page, name):
    return page.locator(f'[data-count="{name}"]')


def shoot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def test_an_empty_fleet_says_how_to_register_and_shows_the_first_engine_by_itself(browse, aggregator):
    page = browse("/")
    expect(page.get_by_text("spoolwatch-aggregator engine add SERIAL")).to_contain_text(str(aggregator.store.parent))
    aggregator.register("E-1", "gw-1")
    expect(row(page, "E-1")).to_contain_text("no prediction yet")
    expect(row(page, "E-1")).to_contain_text("never seen")
    expect(count(page, "unknown")).to_have_text("1")
    assert page.wrong == []


def test_a_prediction_appears_on_the_fleet_page_without_reload(browse, gateway):
    page = browse("/")
    page.evaluate("window.loadedOnce = true")
    gateway.send(87.6)
    expect(row(page, "E-1")).to_contain_text("87 (61–113)")
    expect(row(page, "E-1").locator(".sw-badge")).to_have_text("healthy")
    expect(row(page, "E-1")).to_contain_text("online")
    gateway.send(19.9)
    expect(row(page, "E-1").locator(".sw-badge")).to_have_text("critical")
    expect(count(page, "critical")).to_have_text("1")
    gateway.say("stopped")
    expect(row(page, "E-1").locator(".is-offline")).to_contain_text("stopped by its operator at")
    expect(count(page, "offline")).to_have_text("1")
    assert page.evaluate("window.loadedOnce")
    shoot(page, "fleet")
    assert page.wrong == []


def test_p7_at_the_cap_it_reads_at_least(browse, gateway):
    gateway.send(126.0)
    page = browse("/")
    expect(row(page, "E-1")).to_contain_text("≥ 125 (88 to ≥ 125)")
    expect(count(page, "median")).to_have_text("≥ 125")
    page.goto(page.url + "engines/E-1")
    expect(page.locator(".sw-facts")).to_contain_text("≥ 125")
    assert page.wrong == []


def test_engines_can_be_found_filtered_and_sorted(browse, aggregator, mosquitto):
    for number, median in enumerate((60.0, 10.0, 30.0), 1):
        aggregator.register(f"E-{number}", f"gw-{number}")
        Gateway(mosquitto, f"gw-{number}", f"E-{number}").send(median)
    page = browse("/")
    expect(count(page, "critical")).to_have_text("1")
    expect(count(page, "healthy")).to_have_text("1")
    serials = page.locator("td.is-serial")
    expect(serials).to_have_text(["E-2", "E-3", "E-1"])
    page.get_by_role("button", name="Engine", exact=True).click()
    expect(serials).to_have_text(["E-1", "E-2", "E-3"])
    page.get_by_role("button", name="Warning").click()
    expect(serials).to_have_text(["E-3"])
    page.get_by_role("button", name="Warning").click()
    page.get_by_role("searchbox").fill("gw-1")
    expect(serials).to_have_text(["E-1"])
    page.get_by_role("searchbox").fill("nowhere")
    page.get_by_text("Show all").click()
    expect(serials).to_have_count(3)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    head, first, *_ = Path(download.value.path()).read_text().splitlines()
    assert head == '"Engine","Site","Health","Remaining life","Cycle","Link","Last record"'
    assert first.startswith('"E-1","hamburg","healthy","60 (42–78)","1","online","20')
    for serial in ("E-1", "E-3"):
        row(page, serial).get_by_role("checkbox").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".sw-facts .sw-card-label")).to_have_text(["E-1", "E-3"])
    expect(page.locator(".sw-facts .sw-card-value")).to_have_text(["60", "30"])
    shoot(page, "compare")
    page.go_back()
    row(page, "E-2").click()
    expect(page).to_have_url(f"{aggregator.url}/engines/E-2")
    assert page.wrong == []


def test_a_page_says_while_the_store_cannot_be_read_and_goes_on_when_it_can(browse, gateway, aggregator):
    page = browse("/")
    trouble = page.get_by_text("The store cannot be read at the moment")
    expect(row(page, "E-1")).to_be_visible()
    expect(trouble).to_be_hidden()
    with closing(sqlite3.connect(aggregator.store)) as store:
        store.execute("ALTER TABLE installation RENAME TO lost")
        expect(trouble).to_be_visible()
        fresh = httpx.get(aggregator.url)
        store.execute("ALTER TABLE lost RENAME TO installation")
    assert "The store cannot be read" in fresh.text
    assert "SELECT" not in fresh.text
    gateway.send(87.0)
    expect(row(page, "E-1")).to_contain_text("87")
    expect(trouble).to_be_hidden()
    assert page.wrong == []


def test_a_defect_tells_people_and_programs_nothing_of_the_inside(gateway, aggregator):
    with closing(sqlite3.connect(aggregator.store)) as store, store:
        store.execute("UPDATE engine SET registered_at = 'no time'")
    person = httpx.get(f"{aggregator.url}/engines/E-1", headers={"accept": "text/html"})
    program = aggregator.api.get("/engines/E-1")
    assert (person.status_code, program.status_code) == (500, 500)
    assert "This page has a defect" in person.text
    for answer in (person, program):
        assert "no time" not in answer.text


class TestWhoeverElseIsThere:
    """What looks at one engine, or at none, does so at one aggregator, whatever else that has."""

    @pytest.fixture
    def mosquitto(self, lasting):
        return lasting[0]

    @pytest.fixture
    def aggregator(self, lasting):
        return lasting[1]

    def test_an_engine_page_draws_its_curve_and_channels_and_follows_them(self, browse, gateway):
        gateway.send(*(130.0 - cycle for cycle in range(100)))
        page = browse(f"/engines/{gateway.serial}")
        channel = page.locator('[data-channel="T50"] path')
        expect(page.locator(".sw-title .sw-badge")).to_have_text("warning")
        expect(page.locator(".sw-facts")).to_contain_text("has just started, heartbeat promised every 60 s")
        expect(page.locator(".sw-terms")).to_contain_text("turbofan 1.0.0")
        alarms, _, log = page.locator(".sw-entries").all()
        expect(alarms).to_contain_text("rul-low")
        expect(log).to_contain_text("installed at position 1 of")
        expect(page.get_by_text("The model of the latest prediction is not installed at the centre.")).to_be_visible()
        expect(page.locator("[data-channel]")).to_have_count(len(CHANNELS))
        page.wait_for_function(CURVE_IS_DRAWN)
        before = channel.get_attribute("d")
        assert before.count("L") == 99
        gateway.send(12.0)
        expect(page.locator(".sw-title .sw-badge")).to_have_text("critical")
        expect(page.locator(".sw-facts")).to_contain_text("101")
        expect(channel).not_to_have_attribute("d", before)
        shoot(page, "engine")
        assert page.wrong == []

    def test_channels_are_drawn_against_the_engines_own_baseline_once_there_is_one(self, browse, gateway):
        gateway.model = model_named("turbofan")
        gateway.send(100.0)
        page = browse(f"/engines/{gateway.serial}")
        compare = page.get_by_role("button", name="Against its baseline")
        expect(compare).to_be_disabled()
        gateway.send(*[100.0] * 60)
        compare.click()
        fan_speed = page.locator('[data-channel="Nf"]')
        expect(fan_speed.locator(".sw-channel-value")).to_contain_text(re.compile("[0-9.]+ sd"))
        assert fan_speed.locator("path").get_attribute("d").count("L") == 60
        expect(page.locator('[data-channel="TRA"]')).to_have_count(0)  # the model does not look at it
        shoot(page, "engine-baseline")
        page.get_by_role("button", name="Values").click()
        expect(fan_speed.locator(".sw-channel-value")).to_contain_text("rpm")
        assert page.wrong == []

    def test_a_sparse_row_leaves_every_channel_on_the_page_and_the_fleet_says_that_it_was_refused(
        self, browse, gateway
    ):
        gateway.send(87.0, 86.0)
        gateway.refuse("too few channels")
        page = browse("/")
        refused = row(page, gateway.serial).get_by_text("the latest row gave none")
        expect(refused).to_have_attribute("title", "too few channels")
        expect(row(page, gateway.serial).locator(".sw-badge")).to_have_text("healthy")
        page.goto(f"{page.url}engines/{gateway.serial}")
        expect(page.locator("[data-channel]")).to_have_count(len(CHANNELS))
        expect(page.locator('[data-channel="P30"] .sw-channel-value')).to_have_text("missing")
        expect(page.locator('[data-channel="P30"] .sw-channel-foot')).to_contain_text(" to ")
        gateway.send(85.0)
        expect(page.locator('[data-channel="P30"] .sw-channel-value')).to_contain_text("psia")
        page.goto(page.url.removesuffix(f"engines/{gateway.serial}"))
        expect(refused).to_have_count(0)
        assert page.wrong == []

    def test_an_engine_without_records_says_so_and_fills_by_itself(self, browse, gateway):
        page = browse(f"/engines/{gateway.serial}")
        expect(page.get_by_text("No prediction has arrived yet.")).to_be_visible()
        gateway.send(87.0, 86.0)
        expect(page.locator(".sw-facts")).to_contain_text("86")
        expect(page.locator("[data-channel]")).to_have_count(len(CHANNELS))
        page.wait_for_function(CURVE_IS_DRAWN)
        assert page.wrong == []

    def test_an_unknown_engine_says_how_to_register_it(self, browse):
        page = browse("/engines/E-9")
        expect(page.get_by_role("heading")).to_have_text("Engine E-9 is not registered")
        expect(page.get_by_text("engine add E-9")).to_be_visible()
        assert [text for text in page.wrong if "404" not in text] == []  # which the browser notes of the page itself

    def test_an_unknown_page_is_told_to_people_and_programs_in_their_way(self, aggregator):
        person = httpx.get(f"{aggregator.url}/nowhere", headers={"accept": "text/html"})
        assert (person.status_code, person.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no such page" in person.text
        program = httpx.get(f"{aggregator.url}/nowhere")
        assert (program.status_code, program.headers["content-type"]) == (404, "application/problem+json")
        wrong_method = httpx.delete(f"{aggregator.url}/api/v1/fleet")
        assert (wrong_method.status_code, wrong_method.json()["status"]) == (405, 405)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_on_a_phone_nothing_is_wider_than_the_screen(self, browse, gateway, scheme):
        gateway.send(87.0, 86.0)
        gateway.send(15.0, 15.0, 15.0)
        name_of_gateway = gateway.serial.replace("E", "gw")
        for path, name, shown in (
            ("/", "fleet", gateway.serial),
            (f"/engines/{gateway.serial}", "engine", gateway.serial),
            ("/alarms", "alarms", gateway.serial),
            ("/gateways", "gateways", name_of_gateway),
        ):
            page = browse(path, viewport={"width": 390, "height": 844}, color_scheme=scheme)
            expect(page.get_by_text(shown, exact=True).first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            shoot(page, f"{name}-phone-{scheme}")
            assert page.wrong == []

    def test_an_alarm_becomes_work_that_is_planned_done_and_tells_how_right_the_model_was(
        self, browse, gateway, aggregator
    ):
        serial = gateway.serial
        gateway.send(*(22.0 - cycle for cycle in range(12)))
        page = browse("/alarms")
        critical = page.locator("tr", has_text="rul-critical").filter(has_text=serial)
        critical.focus()
        page.keyboard.press("w")
        expect(page.get_by_role("status")).to_contain_text("is opened.")
        expect(critical).to_contain_text("work order")
        page.get_by_role("link", name="Work", exact=True).click()
        order = page.locator("tr", has_text=serial)
        expect(order).to_contain_text("no day yet")
        order.focus()
        page.keyboard.press("p")
        page.get_by_label("For which day").fill("2020-02-30")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("'2020-02-30' is no day; write it like 2026-12-01")
        order.focus()
        page.keyboard.press("p")
        page.get_by_label("For which day").fill("2020-02-29")
        page.keyboard.press("Enter")
        expect(order).to_contain_text("2020-02-29")
        expect(order).to_contain_text("late")
        shoot(page, "work")
        order.click()
        expect(page.get_by_role("heading", name=f": {serial}")).to_be_visible()
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_role("status")).to_have_text("Nothing was done: choose what it has shown.")
        page.get_by_label("Outcome").click()
        page.get_by_role("option", name="failed, replaced").click()
        page.get_by_label("After which cycle").fill("12")
        page.get_by_label("What was found").fill("blade <b>7</b>")
        shoot(page, "work-order")
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_text("failed, replaced: blade <b>7</b>")).to_be_visible()
        expect(page.get_by_role("button", name="Finish")).to_be_hidden()
        page.get_by_role("link", name="Models").click()
        model = page.locator("tr", has_text="turbofan 1.0.0")
        expect(model).to_contain_text("of fewer than 5 lives")
        expect(model).to_contain_text("+11.0")  # 22 to 11 were predicted where 11 to 0 were left
        shoot(page, "models")
        for path in ("/work-orders?state=done", "/models", "/work-orders/1"):
            phone = browse(path, viewport={"width": 390, "height": 844}, color_scheme="dark")
            expect(phone.get_by_role("heading").first).to_be_attached()
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
            shoot(phone, f"{path.strip('/').partition('?')[0].replace('/', '-')}-phone-dark")
            assert phone.wrong == []
        assert page.wrong == []

    def test_a_plan_is_asked_for_in_a_form_and_carried_out_by_opening_work_orders(self, browse, gateway, aggregator):
        serial = gateway.serial
        gateway.send(30.0)
        gateway.say("heartbeat")
        assert aggregator.api.patch(f"/engines/{serial}", json={"cycles_per_day": 1}).status_code == 200
        page = browse("/plan?weeks=99")
        expect(page.get_by_role("alert")).to_contain_text("Removals per week: field required; ")
        expect(page.get_by_role("alert")).to_contain_text("Weeks: input should be less than or equal to 52")
        for label, value in PLAN.items():
            page.get_by_label(label).fill(value)
        page.get_by_role("button", name="Plan").click()
        removal = row(page, serial)
        expect(removal).to_contain_text("< 1 %")
        for card, note in (("plan", "planned"), ("repair_at_q05", "planned"), ("run_to_failure", "0 planned")):
            expect(page.locator(f".sw-card.is-{card}")).to_contain_text(note)
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        lines = download.value.path().read_text().splitlines()
        assert any(line.startswith(f"{serial},hamburg,") for line in lines)
        shoot(page, "plan")
        removal.focus()
        page.keyboard.press("w")
        expect(page.get_by_role("status").last).to_have_text("Done for 1.")
        expect(removal).to_have_count(0)
        (order,) = aggregator.api.get("/work-orders", params={"engine": serial}).json()["items"]
        assert (order["state"], order["planned_for"] is not None) == ("planned", True)
        for scheme in ("light", "dark"):
            phone = browse(f"/plan?{page.url.partition('?')[2]}", viewport=PHONE, color_scheme=scheme)
            expect(phone.get_by_role("button", name="Plan")).to_be_visible()
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
            assert phone.wrong == []
        assert page.wrong == []

    def test_an_alarm_appears_is_dealt_with_by_keyboard_and_tells_what_became_of_it(self, browse, gateway, aggregator):
        serial = gateway.serial
        page = browse("/alarms")
        gateway.send(15.0, 15.0, 15.0)
        critical = page.locator("tr", has_text="rul-critical").filter(has_text=serial)
        expect(critical).to_contain_text("urgent")
        expect(page.locator("tbody tr").first).to_contain_text("urgent")
        critical.focus()
        page.keyboard.press("x")
        page.keyboard.press("g")
        page.get_by_label("To whom").fill("line 3")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("Done for 1.")
        expect(critical).to_contain_text("for line 3")
        critical.focus()
        page.keyboard.press("a")
        expect(page.get_by_role("status")).to_have_text("1 acknowledged.")
        expect(critical).to_contain_text("seen by")
        shoot(page, "alarms")
        page.get_by_label("Seen").select_option("no")
        expect(critical).to_have_count(0)
        assert page.url.endswith("/alarms?seen=no")
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").click()
        lines = Path(download.value.path()).read_text().splitlines()
        assert [line for line in lines if serial in line and "rul-low" in line]
        assert not [line for line in lines if serial in line and "rul-critical" in line]
        page.reload()
        page.locator("tr", has_text="rul-low").filter(has_text=serial).click()
        expect(page.get_by_role("heading", name=f"rul-low: {serial}")).to_be_visible()
        page.get_by_label("To whom, for how many days").fill("nonsense")
        page.get_by_role("button", name="Shelve").click()
        expect(page.get_by_text("Nothing was done: 'nonsense' is no number of days")).to_be_visible()
        page.get_by_label("To whom, for how many days").fill("parts <b>ordered</b>")
        page.get_by_role("button", name="Comment").click()
        expect(page.locator(".sw-changes li").last).to_contain_text("commented by anyone: parts <b>ordered</b>")
        shoot(page, "alarm")
        page.goto(f"{aggregator.url}/audit")
        expect(page.locator("tr", has_text="alarm.assigned").filter(has_text=serial)).to_contain_text("line 3")
        shoot(page, "audit")
        assert page.wrong == []

    def test_gateways_show_link_outbox_and_what_went_wrong(self, browse, gateway):
        page = browse("/gateways")
        expect(page.locator("tr", has_text=gateway.serial.replace("E", "gw"))).to_contain_text("file: reading")
        page.get_by_role("searchbox").fill("nowhere")
        expect(page.get_by_text("Nothing matches.")).to_be_visible()
        page.get_by_text("Show all").click()
        gateway.say("stopped")
        expect(page.locator("tr", has_text=gateway.serial.replace("E", "gw"))).to_contain_text("offline")
        shoot(page, "gateways")
        assert page.wrong == []

    def test_no_page_keeps_anybody_out_who_cannot_see_it_well(self, browse, gateway):
        """What axe finds in either theme that is serious."""
        gateway.send(15.0, 15.0, 15.0)
        found = []
        paths = (
            "/",
            f"/engines/{gateway.serial}",
            "/alarms",
            "/alarms/1",
            "/plan?weeks=0",
            "/gateways",
            "/audit",
            "/nowhere",
        )
        for path in paths:
            page = browse(path)
            expect(page.locator("h1, tbody tr").first).to_be_attached()
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                for one in Axe().run(page).response["violations"]:
                    if one["impact"] in ("serious", "critical"):
                        found.append((path, scheme, one["id"], [node["html"] for node in one["nodes"]]))
        assert found == []

    def test_the_documentation_of_the_api_needs_no_other_host(self, browse):
        page = browse("/api/docs")
        expect(page.get_by_text("/api/v1/engines/{serial}/predictions", exact=True)).to_be_visible()
        assert page.wrong == []


def test_the_aggregator_stops_cleanly_while_a_page_is_open(browse, aggregator):
    expect(browse("/").get_by_text("No engine is registered yet")).to_be_visible()
    assert aggregator.stop() == 0
    assert "Traceback" not in aggregator.log.read_text()


PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(aggregator, gateway):
    """Beside the engine in Hamburg one in Bremen; anna may see Hamburg. Returns the headers of an admin."""
    aggregator.register("E-2", "gw-2", site="bremen")
    for name, role, site in (("root", "admin", "*"), ("anna", "viewer", "hamburg")):
        body = {"name": name, "password": PASSWORD, "grants": [{"role": role, "site": site}]}
        headers = {} if name == "root" else _log_in(aggregator, "root")
        assert aggregator.api.post("/people", json=body, headers=headers).status_code == 201
    return _log_in(aggregator, "root")


def _log_in(aggregator, name):
    begun = aggregator.api.post("/sessions", json={"name": name, "password": PASSWORD})
    return {"Authorization": f"Bearer {begun.json()['access_token']}"}


def _fill(page, name, password):
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_p8_the_pages_show_who_has_logged_in_the_sites_they_may_see(browse, aggregator, accounts):
    page = browse("/engines/E-1")
    _fill(page, "anna", "wrong")
    expect(page.get_by_role("alert")).to_have_text("There is nobody of this name with this password.")
    _fill(page, "anna", PASSWORD)
    expect(page.get_by_role("heading", name="E-1")).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["name"]) == (True, "Lax", "spoolwatch_login")
    page.goto(aggregator.url)
    expect(row(page, "E-1")).to_be_visible()
    expect(page.get_by_text("E-2")).to_have_count(0)
    page.goto(f"{aggregator.url}/engines/E-2")
    expect(page.get_by_role("heading")).to_have_text("Engine E-2 is not registered")
    assert "engine add E-2" in page.content()
    assert "--data-dir" not in page.content()  # where the store lies is no business of hers
    page.goto(f"{aggregator.url}/api/docs")
    expect(page.get_by_text("/api/v1/engines/{serial}/predictions", exact=True)).to_be_visible()
    assert [text for text in page.wrong if "401" not in text and "404" not in text] == []  # which the browser notes


def test_p8_an_open_page_ends_with_the_login(browse, aggregator, accounts):
    page = browse("/login")
    _fill(page, "anna", PASSWORD)
    expect(row(page, "E-1")).to_be_visible()
    change = aggregator.api.patch("/people/anna", json={"disabled": True}, headers=accounts)
    assert change.status_code == 200
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_an_admin_sees_to_people_and_keys_and_nobody_else_does(browse, aggregator, accounts):
    body = {"purpose": "planner", "role": "viewer", "sites": ["hamburg"], "expires_in_days": 30}
    assert aggregator.api.post("/api-keys", json=body, headers=accounts).status_code == 201
    page = browse("/people")
    _fill(page, "root", PASSWORD)
    anna = page.locator("tr", has_text="anna")
    expect(anna).to_contain_text("viewer at hamburg")
    anna.get_by_role("checkbox").check()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_have_text("Done for 1.")
    expect(anna).to_contain_text("disabled")
    page.locator("tr", has_text="root").get_by_role("checkbox").check()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("status")).to_contain_text("root is the last admin of all sites")
    anna.get_by_role("checkbox").check()
    page.get_by_role("button", name="Let in again").click()
    expect(anna).to_contain_text("active")
    shoot(page, "people")
    page.get_by_role("link", name="Keys").click()
    page.locator("tr", has_text="planner").get_by_role("checkbox").check()
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("tr", has_text="planner")).to_contain_text("revoked")
    shoot(page, "keys")
    page.get_by_role("button", name="Log out").click()
    _fill(page, "anna", PASSWORD)
    expect(page.get_by_role("link", name="Fleet")).to_be_visible()
    assert page.get_by_role("link", name="People").count() == 0
    for path in ("/people", "/keys", "/audit"):
        page.goto(aggregator.url + path)
        expect(page.get_by_role("heading")).to_have_text("This page is for whoever is admin somewhere")


LADDER = [role.value for role in Role]


def test_p8_each_page_is_for_its_roles_and_shows_ones_own_sites(aggregator, mosquitto, accounts):
    """Every page, with every role, of one's own site and of another."""
    for number in (1, 2):
        Gateway(mosquitto, f"gw-{number}", f"E-{number}", site=("hamburg", "bremen")[number - 1]).send(9.0, 9.0, 9.0)
    alarms = wait_until(lambda: _alarms_of_both(aggregator, accounts), "both engines raise their alarms")
    body = {"alarms": [alarms["E-2"]]}
    order = aggregator.api.post("/work-orders", json=body, headers=accounts).json()["id"]
    for role in LADDER:
        body = {"name": f"{role}1", "password": PASSWORD, "grants": [{"role": role, "site": "hamburg"}]}
        assert aggregator.api.post("/people", json=body, headers=accounts).status_code == 201
        with httpx.Client(base_url=aggregator.url, headers={"Accept": "text/html"}, timeout=30) as visitor:
            form = {"name": f"{role}1", "password": PASSWORD, "to": "/"}
            assert visitor.post("/login", data=form).status_code == 303
            for path, _, wanted in PAGES:
                answer = visitor.get(path)
                assert answer.status_code == (200 if Role(role).includes(wanted) else 403), (path, role)
                assert "E-2" not in answer.text, (path, role)
            own, foreign = f"/alarms/{alarms['E-1']}", f"/alarms/{alarms['E-2']}"
            for path in ("/engines/E-1", own, "/compare?engines=E-1,E-2"):
                assert visitor.get(path).status_code == 200, (path, role)
            for path in ("/engines/E-2", foreign, f"/work-orders/{order}"):
                assert visitor.get(path).status_code == 404, (path, role)
            assert "bremen" not in visitor.get("/compare?engines=E-1,E-2").text
            may_act = Role(role).includes(Role.TECHNICIAN)
            assert ("Open work orders" in visitor.get("/plan", params=WHOLE_PLAN).text) == may_act
            assert ("Acknowledge" in visitor.get("/alarms").text) == may_act
            assert ("Resolve" in visitor.get(own).text) == may_act


def _alarms_of_both(aggregator, headers):
    """The id of one alarm of each engine, once both have one."""
    items = aggregator.api.get("/alarms", headers=headers).json()["items"]
    found = {alarm["engine"]: alarm["id"] for alarm in items if alarm["engine"]}
    return found if len(found) == 2 else None


def test_who_logs_out_is_asked_again(browse, accounts):
    page = browse("/")
    _fill(page, "root", PASSWORD)
    expect(row(page, "E-2")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert page.context.cookies() == []
    page.go_back()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
