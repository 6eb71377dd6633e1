"""Runs Apprise in a process of its own: ``python -m aggregator.notify.apprise_child`` with an order on standard input.

Apprise knows some 180 services, takes a second and tens of megabytes to load, and some of what it calls cannot be
interrupted. Here it costs the aggregator nothing, and is ended when it takes too long.
"""

import logging
import re
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

_CAUSE = re.compile(
    r"\[Errno -?\d+\] [^'\")]+|certificate verify failed[^'\"(]*|timed out|\(\d{3}, b'[^']*'\)"
    r"|Connection unexpectedly closed"
)
"""What of the library's notes on errors is told; the rest may hold a URL with its tokens."""
SECRET_CHARACTERS = 5


class Order(msgspec.Struct):
    """What is to be done with a URL: send a message, or, without a body, look whether it can be used."""

    url: str
    title: str = ""
    body: str | None = None


class Report(msgspec.Struct):
    """What came of it: whether it worked, the name of the service, and why it did not."""

    is_done: bool
    service: str = ""
    why: str = ""


class Notes(logging.Handler):
    """Keeps what the library says of what went wrong, without what the URL says."""

    def __init__(self, url: str) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        parts = re.split(r"[/:@?&=;,]+", url.partition("://")[2])
        host = urlsplit(url).hostname or ""
        words = {word for part in parts for word in (part, unquote(part)) if len(word) >= SECRET_CHARACTERS}
        self._secrets = sorted((word for word in words if word.lower() != host), key=len, reverse=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        text = record.getMessage()
        if record.levelno < logging.WARNING:
            found = _CAUSE.search(text) if "xception" in text else None
            if found is None:
                return
            text = found[0]
        for secret in self._secrets:
            text = text.replace(secret, "***")
        self.said.append(" ".join(text.split()))


def carry_out(order: Order) -> Report:
    """Do what is ordered; whatever goes wrong is in the report."""
    import apprise
    from apprise.manager_attachment import AttachmentManager

    # A URL may name files of this machine to be sent along (?template=…): nobody is to read them by a receiver.
    attachments: Any = AttachmentManager()  # type: ignore[no-untyped-call]  # untyped in Apprise
    attachments.remove(*attachments.schemas())
    notes = Notes(order.url)
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(notes)
    service = apprise.Apprise.instantiate(order.url, suppress_exceptions=True)
    if not isinstance(service, apprise.NotifyBase):
        told = [line for line in notes.said if "URL" not in line]
        return Report(is_done=False, why="; ".join(told) or "no service that it knows takes such a URL")
    name = str(service.service_name)
    if order.body is None:
        return Report(is_done=True, service=name)
    is_sent = service.notify(body=order.body, title=order.title, body_format=apprise.NotifyFormat.TEXT)
    return Report(is_done=bool(is_sent), service=name, why="; ".join(dict.fromkeys(notes.said)))


def main() -> None:
    """Read an order, carry it out, write the report."""
    report = carry_out(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main()
