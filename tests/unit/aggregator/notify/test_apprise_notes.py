"""What is told of a failure of Apprise holds nothing of the URL but its host."""

import logging

import pytest

from aggregator.notify.apprise_child import Notes


@pytest.mark.parametrize(
    ("level", "said", "kept"),
    [
        ("WARNING", 'Connection error while submitting email to "mail.example.org"', True),
        ("WARNING", "Failed: T0KEN1/secret%20word/secret word answered 403", "Failed: ***/***/*** answered 403"),
        ("DEBUG", "Slack POST URL: https://hooks.example.org/T0KEN1", False),
        (
            "DEBUG",
            "Socket Exception: url /T0KEN1 (Caused by [Errno 111] Connection refused)",
            "[Errno 111] Connection refused",
        ),
        ("DEBUG", "Socket Exception: (535, b'authentication failed')", "(535, b'authentication failed')"),
        ("DEBUG", "Socket Exception: something with T0KEN1", False),
    ],
)
def test_secrets_stay_out(level, said, kept):
    notes = Notes("slack://mail.example.org/T0KEN1/secret%20word?to=me")
    notes.emit(logging.makeLogRecord({"levelno": getattr(logging, level), "msg": said}))
    assert notes.said == ([] if kept is False else [said if kept is True else kept])
