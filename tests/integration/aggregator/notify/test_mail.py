"""People are told by Apprise: here by mail, through a real SMTP server."""

import pytest

from aggregator.notify import apprise
from aggregator.notify.outcome import AddressError
from aggregator.store.registry import edit_engine


async def test_many_alarms_are_one_mail_and_a_mail_that_fails_is_sent_later(
    mailbox, mail_url, add, send, wear_out, clock, told, lately
):
    await add("team", mail_url, "apprise")
    assert lately().via == "E-Mail"
    mailbox.refuses = True
    wear_out("ESN-1001", "ESN-1002")
    await send()
    assert [state for state, _, _ in told()] == ["waiting"] * 4
    assert "no mail from machines" in lately().problem
    mailbox.refuses = False
    clock.advance(60)
    await send()
    ((envelope, mail),) = mailbox.got
    assert (envelope.mail_from, envelope.rcpt_tos) == ("spoolwatch@example.org", ["team@example.org"])
    assert mail["Subject"] == "4 changes of alarms: 2 urgent, 2 medium"
    text = mail.get_body(("plain",)).get_content()
    assert "- urgent: ESN-1001 (hamburg): few cycles are left" in text
    assert "https://spoolwatch.example.org" in text
    assert {state for state, _, _ in told()} == {"sent"}


async def test_one_alarm_is_told_with_the_date_until_which_the_engine_lasts(
    mailbox, mail_url, add, send, wear_out, store, clock
):
    await add("team", mail_url, "apprise", priority="urgent")
    wear_out("ESN-1001", q50=30.0)
    edit_engine(store, "ESN-1001", {"cycles_per_day": 2.0}, clock())
    await send()
    ((_, mail),) = mailbox.got
    assert mail["Subject"] == "urgent: ESN-1001 (hamburg): few cycles are left"
    lines = mail.get_body(("plain",)).get_content().splitlines()
    assert lines[0].endswith("no more than 10.0 cycles are left; the limit is 20")
    assert "It lasts until 2026-11-27, for 12 more cycles, with a confidence of 90 %" in lines
    assert lines[-1] == "https://spoolwatch.example.org/engines/ESN-1001"


@pytest.mark.parametrize(
    "url", ["nonsense://x", "slack://TLTH3A7B0/AAAAAAAAA/BBBBBBBBBBBBBBBBBBBBBBBB?template={file}"]
)
async def test_what_apprise_does_not_know_or_would_read_files_by_is_refused(add, tmp_path, url):
    (tmp_path / "file.json").write_text('{"blocks": ["a secret"]}')
    with pytest.raises(AddressError, match="no service that it knows takes such a URL"):
        await add("team", url.format(file=tmp_path / "file.json"), "apprise")


async def test_a_message_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(apprise, "DEADLINE_S", 0.01)
    outcome = await apprise.send("mailto://127.0.0.1", "title", "body")
    assert outcome == ("failed", "it took longer than 0.01 s", None)
