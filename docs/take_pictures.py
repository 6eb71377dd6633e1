"""Takes the pictures of the pages that the documentation shows: of simulated engines, some of which have failed.

Run it with ``make pictures``; it takes some minutes.
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from rich.progress import track

from benchmarks.programs import BIN, aggregator, child, mosquitto

FOLDER = Path(__file__).parent / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]
ENGINES, CYCLES_PER_S, SECONDS = 12, 0.5, 60
WIDTHS = {"wide": 1280, "phone": 390}
SETTLED_MS = 2500
STOPPED_S = 120
QUIET = {"begin": "20:00", "end": "06:00", "zone": "Europe/Berlin"}
PLAN = "capacity_per_week=1&unplanned_removal_cost=500000&planned_removal_cost=100000&wasted_cycle_cost=500&weeks=8"
NAME, PASSWORD = "anna", "correct horse battery"


def let_in(api: httpx.Client, key_file: Path) -> None:
    """Make the account that the pictures are taken with, and a key for the engines."""
    body = {"name": NAME, "password": PASSWORD, "grants": [{"role": "admin", "site": "*"}]}
    api.post("/people", json=body).raise_for_status()
    begun = api.post("/sessions", json={"name": NAME, "password": PASSWORD}).raise_for_status()
    api.headers["Authorization"] = f"Bearer {begun.json()['access_token']}"
    for purpose, role in (("planner export", "viewer"), ("simulator", "engineer")):
        key = {"purpose": purpose, "role": role, "sites": ["demo"], "expires_in_days": 90}
        key_file.write_text(api.post("/api-keys", json=key).raise_for_status().json()["key"], encoding="utf-8")
    key_file.chmod(0o600)


def tell_a_story(api: httpx.Client) -> None:
    """Do what a maintenance team would: see to the most urgent alarms, one of them to its end."""
    wishes = {"priority": "medium", "digest_s": 3600, "quiet_hours": QUIET}
    team = {"name": "line-3", "kind": "apprise", "url": "json://127.0.0.1:9", "wishes": wishes}
    api.post("/receivers", json=team).raise_for_status()
    for engine in api.get("/engines").raise_for_status().json()["items"]:
        api.patch(f"/engines/{engine['serial']}", json={"cycles_per_day": 1.5}).raise_for_status()
    urgent = api.get("/alarms", params={"state": "open", "priority": "urgent"}).raise_for_status().json()["items"]
    engines = list(dict.fromkeys(alarm["engine"] for alarm in urgent))
    for place, engine in enumerate(engines[:3]):
        ids = [alarm["id"] for alarm in urgent if alarm["engine"] == engine]
        order = api.post("/work-orders", json={"alarms": ids}).raise_for_status().json()
        plan = {"planned_for": f"2027-01-1{place}", "parts_lead_time_days": 10, "assigned_to": "line 3"}
        api.patch(f"/work-orders/{order['id']}", json=plan).raise_for_status()
        if place == 0:
            api.post(f"/work-orders/{order['id']}/start").raise_for_status()
            found = {"outcome": "failed", "remedy": "replaced", "note": "blade 7 is cracked"}
            api.post(f"/work-orders/{order['id']}/outcome", json=found).raise_for_status()


def take_all(browser: Browser, url: str, api: httpx.Client) -> None:
    """Take every page in both themes and at both widths."""
    ranked = api.get("/engines", params={"sort": "risk", "limit": 6}).raise_for_status().json()["items"]
    alarm = api.get("/alarms", params={"engine": ranked[1]["serial"]}).raise_for_status().json()["items"][0]
    pages = {
        "fleet": "/",
        "engine": f"/engines/{ranked[1]['serial']}",
        "compare": f"/compare?engines={','.join(engine['serial'] for engine in ranked[1::2])}",
        "alarms": "/alarms",
        "alarm": f"/alarms/{alarm['id']}",
        "work": "/work-orders?state=",
        "work-order": "/work-orders/1",
        "plan": f"/plan?{PLAN}",
        "models": "/models",
        "gateways": "/gateways",
        "rules": "/rules",
        "rule": "/rules/1",
        "receivers": "/receivers",
        "receiver": "/receivers/1",
        "people": "/people",
        "keys": "/keys",
        "audit": "/audit",
    }
    for theme in ("light", "dark"):
        for width, pixels in WIDTHS.items():
            size = {"width": pixels, "height": 800}
            with browser.new_context(viewport=size, color_scheme=theme) as context:
                _log_in(context, url)
                for name, path in track(pages.items(), f"{width} {theme}"):
                    _take(context, url + path, FOLDER / f"{name}-{width}-{theme}.png")


def _log_in(context: BrowserContext, url: str) -> None:
    page = context.new_page()
    page.goto(f"{url}/login")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}/")


def _take(context: BrowserContext, url: str, file: Path) -> None:
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(SETTLED_MS)
    picture = Image.open(BytesIO(page.screenshot(full_page=True)))
    picture.quantize(256, kmeans=2).save(file, optimize=True)
    page.close()


@contextmanager
def _playing(folder: Path, url: str, broker: int, key_file: Path) -> Iterator[None]:
    """Engines that fly until the end of the block."""
    command = [BIN / "spoolwatch-simulate", "fleet", "--engines", ENGINES, "--cycles-per-s", CYCLES_PER_S]
    command += ["--api", url, "--broker", f"127.0.0.1:{broker}", "--mqtt-version", 3, "--data-dir", folder / "play"]
    command += ["--api-key-file", key_file]
    with child(*command, stdout=subprocess.DEVNULL) as play:
        yield
        play.terminate()
        play.wait(STOPPED_S)  # it counts what has arrived


def main() -> None:
    """Take them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        with mosquitto(folder) as broker, aggregator(folder, broker, None) as centre:
            url = str(centre.api.base_url).rstrip("/")
            with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as api:
                let_in(api, folder / "key")
                with _playing(folder, url, broker, folder / "key"):
                    time.sleep(SECONDS)
                    tell_a_story(api)
                    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                    take_all(browser, url, api)
                    browser.close()


if __name__ == "__main__":
    main()
