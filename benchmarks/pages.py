"""Measures the fleet page over ten thousand engines: its first view, and what many open pages take of the server."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from aggregator.store.database import open_store
from benchmarks.api.__main__ import ask
from benchmarks.api.filling import Fleet, fill
from benchmarks.fleet import SITE, gateway_names
from benchmarks.programs import Aggregator, aggregator, child, mosquitto

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
GATEWAYS = 20
RUN = "pages"
API_PER_S = 20


def first_view_ms(browser: Browser, url: str) -> float:
    """How long it takes from the address to the first row, in a browser that has nothing in its cache."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        began = time.perf_counter()
        page.goto(url)
        page.locator("tbody tr .sw-badge").first.wait_for()
        return (time.perf_counter() - began) * 1000


@contextmanager
def records(broker: int, per_s: int, seconds: float, runs_before: int) -> Iterator[None]:
    """Live records over the broker, a row and a prediction per message; each run goes on behind those before."""
    cycles = int(per_s / 2 * seconds / GATEWAYS)
    messages = cycles * GATEWAYS
    plan = {"kind": "records", "gateways": GATEWAYS, "messages": messages, "records_each": 2, "run": RUN}
    plan |= {"window": 400, "by_centre": True, "messages_per_s": per_s / 2, "cycles_before": runs_before * cycles}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child(sys.executable, "-m", "benchmarks.generator", broker, json.dumps(plan), **pipes) as generator:
        assert generator.stdin is not None and generator.stdout is not None  # noqa: S101, PT018  # pipes
        generator.stdout.readline()
        generator.stdin.write("\n")
        generator.stdin.flush()
        yield
        print(" ", "records:", generator.stdout.readline().strip(), flush=True)


@contextmanager
def opened(centre: Aggregator, pages: int) -> Iterator[None]:
    """Pages that stay open, without browsers, which would draw on the cores that are measured.

    They show the engines that were heard from last, so that with every second their rows are others.
    """
    url = centre.api.base_url.copy_with(path="/", params={"sort": "-last_seen"})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child(sys.executable, "-m", "benchmarks.viewers", url, pages, **pipes) as viewers:
        assert viewers.stdin is not None and viewers.stdout is not None  # noqa: S101, PT018  # pipes
        viewers.stdout.readline()
        yield
        viewers.stdin.write("\n")
        viewers.stdin.flush()
        print(" ", "viewers:", viewers.stdout.readline().strip(), flush=True)


def busy(centre: Aggregator, broker: int, per_s: int, seconds: float, runs_before: int) -> dict[str, float]:
    """What the server takes, and how fast the API answers, while records come."""
    plan = {"port": centre.api.base_url.port, "paths": ["/api/v1/fleet"], "clients": 1}
    with records(broker, per_s, seconds, runs_before):
        cpu_s, began = centre.cpu_s(), time.perf_counter()
        answered = ask(plan | {"seconds": seconds, "rate": API_PER_S})
        cpu_percent = 100 * (centre.cpu_s() - cpu_s) / (time.perf_counter() - began)
    return {"cpu_percent": cpu_percent, "rss_mib": centre.rss_mib(), "api_p95_ms": answered["p95_ms"]}


def measure(engines: int, pages: int, per_s: int, seconds: float) -> None:
    """Print what there is to know, as it becomes known."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        (folder / "aggregator").mkdir()
        url = f"sqlite:///{folder / 'aggregator' / 'store.db'}"
        store = open_store(url, migrate="head")
        fill(store, Fleet(engines, 60 * engines, engines), datetime.now(UTC))
        store.close()
        with mosquitto(folder) as broker, aggregator(folder, broker, url) as centre:
            for gateway in gateway_names(GATEWAYS):
                centre.register(f"{RUN}-{gateway}", SITE, gateway)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            views = [first_view_ms(browser, str(centre.api.base_url)) for _ in range(7)]
            print(f"first view over {engines} engines: {median(views):.0f} ms of {[round(view) for view in views]}")
            browser.close()
            print("no page:", busy(centre, broker, per_s, seconds, 0), flush=True)
            with opened(centre, pages):
                print(f"{pages} pages:", busy(centre, broker, per_s, seconds, 1), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--engines", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=50, help="open at once")
    parser.add_argument("--records-per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each load")
    arguments = parser.parse_args()
    measure(arguments.engines, arguments.pages, arguments.records_per_s, arguments.seconds)


if __name__ == "__main__":
    main()
