"""Tells people, by whatever Apprise knows: mail, Teams, Slack and so on; each time in a process of its own."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE

import msgspec

from aggregator.notify.apprise_child import Order, Report
from aggregator.notify.outcome import AddressError, Outcome

DEADLINE_S = 30.0
_CHILD = (sys.executable, "-P", "-m", "aggregator.notify.apprise_child")


async def check_url(url: str) -> str:
    """Make sure that Apprise can use a URL; returns the name of the service that it stands for.

    Raises:
        AddressError: it cannot.
    """
    report = await _carry_out(Order(url))
    if not report.is_done:
        raise AddressError(f"Apprise cannot use this URL: {report.why}")
    return report.service


async def send(url: str, title: str, body: str) -> Outcome:
    """Send a message."""
    report = await _carry_out(Order(url, title, body))
    if report.is_done:
        return Outcome("sent", f"taken by {report.service}")
    return Outcome("failed", report.why or f"{report.service} did not take it")


async def _carry_out(order: Order) -> Report:
    child = await asyncio.create_subprocess_exec(*_CHILD, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await child.communicate(msgspec.json.encode(order))
    except TimeoutError:
        return Report(is_done=False, why=f"it took longer than {DEADLINE_S:g} s")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        return msgspec.json.decode(said, type=Report)
    except msgspec.DecodeError:
        return Report(is_done=False, why=f"Apprise ended by itself, with status {child.returncode}")
