"""``enroll`` at the agent: whom it trusts with the token, what it writes, and what is left where it goes wrong."""

import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aggregator.access.authority import Authority
from edge_agent.centre_api import CentreApi, CentreApiError
from edge_agent.enrolment import EnrolmentError, enrol
from edge_agent.identity import IdentityError, NewKey, read_identity, write_secret
from edge_agent.renewal import Renewal, renewal_of
from edge_agent.settings import AgentSettings
from shared.enrolment import EnrolmentTokenError, draw_token, parse_token
from shared.settings import load

NOW = datetime.now(UTC).replace(microsecond=0)
PROGRAM = str(Path(sys.executable).parent / "spoolwatch-agent")


class Centre:
    """An https server that answers as a centre does, and keeps what it was told."""

    def __init__(self, folder, authority, claims=None, host="127.0.0.1"):
        self.authority, self.told = authority, []
        self.status, self.answer_by = 201, self._enrolled
        self._claims = claims or authority
        key, certificate = authority.issue_server([host], NOW)
        file = folder / "server.pem"
        file.write_bytes(key + certificate)
        centre = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                self._answer(200, {"certificate": centre._claims.pem})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                centre.told.append((self.path, body))
                self._answer(centre.status, centre.answer_by(body))

            def _answer(self, status, body):
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # clients that trust nobody here
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _enrolled(self, body):
        issued = self.authority.sign_gateway(body["signing_request"], "gw-1", NOW, timedelta(days=90))
        return {
            "gateway": "gw-1",
            "site": "hamburg",
            "engines": ["E-1", "E-2"],
            "certificate": issued.pem,
            "expires_at": issued.expires_at.isoformat(),
            "broker": {"host": "mqtt.example.org", "port": 443, "transport": "websockets", "path": "/mqtt"},
            "centre_key": "A" * 43 + "=",
        }

    def close(self):
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture(scope="module")
def authority():
    return Authority.draw(NOW)


@pytest.fixture
def make_centre(tmp_path):
    made = []

    def make(authority, **options):
        made.append(Centre(tmp_path, authority, **options))
        return made[-1]

    yield make
    for centre in made:
        centre.close()


@pytest.fixture
def centre(make_centre, authority):
    return make_centre(authority)


@pytest.fixture
def token(authority):
    return draw_token(authority.der)


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "state"


def content(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_what_came_is_written_for_the_agent_alone_and_makes_its_settings(centre, token, data_dir, tmp_path):
    enrol(centre.url, lambda: token, data_dir)
    assert centre.told[0][1]["token"] == token.text
    assert content(data_dir) == {"enrolment"}
    folder = data_dir / "enrolment"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"enrolment": 0o700, "identity.pem": 0o600, "ca.crt": 0o600, "agent.toml": 0o600}

    config = tmp_path / "agent.toml"
    config.write_text(f'source = {{kind = "file", path = "{tmp_path}/rows"}}\nbroker = {{keepalive_s = 60}}\n')
    settings = load(AgentSettings, config, beneath=folder / "agent.toml")
    assert (settings.site, settings.gateway, settings.centre_url) == ("hamburg", "gw-1", centre.url)
    assert [(engine.serial, engine.unit) for engine in settings.engines] == [("E-1", 1), ("E-2", 2)]
    broker = settings.broker
    assert (broker.host, broker.tcp_port, broker.transport, broker.keepalive_s) == (
        *("mqtt.example.org", 443, "websockets"),
        60,
    )
    broker.encryption.context()
    assert renewal_of(settings, lambda: NOW) is not None


def test_p8_a_centre_of_another_authority_never_sees_the_token(make_centre, token, data_dir):
    stranger = make_centre(Authority.draw(NOW))
    with pytest.raises(EnrolmentError, match="is not the centre that made this token"):
        enrol(stranger.url, lambda: token, data_dir)
    assert (stranger.told, content(data_dir)) == ([], set())


def test_p8_who_repeats_the_authority_without_having_its_key_never_sees_the_token(
    make_centre, authority, token, data_dir
):
    stranger = make_centre(Authority.draw(NOW), claims=authority)
    with pytest.raises(CentreApiError, match="nothing was sent"):
        enrol(stranger.url, lambda: token, data_dir)
    assert (stranger.told, content(data_dir)) == ([], set())


def test_p8_a_certificate_of_the_authority_for_another_name_is_not_enough(make_centre, authority, token, data_dir):
    other = make_centre(authority, host="192.0.2.1")
    with pytest.raises(CentreApiError, match="for that name; nothing was sent"):
        enrol(other.url, lambda: token, data_dir)
    assert other.told == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://centre.example.org", "must not travel in the clear; use https"),
        ("centre.example.org", "is no URL of the centre"),
        ("ftp://centre.example.org", "is no URL of the centre"),
        ("https://centre.example.org:x", "is no URL"),
    ],
)
def test_p8_a_url_that_would_tell_the_token_to_anybody_is_refused(url, told):
    with pytest.raises(CentreApiError, match=told):
        CentreApi(url)


def test_who_is_enrolled_already_is_told_and_nothing_is_asked(centre, token, data_dir):
    enrol(centre.url, lambda: token, data_dir)
    with pytest.raises(EnrolmentError, match=r"good until .* --force and a new token"):
        enrol(centre.url, lambda: pytest.fail("nobody is to be asked for a token"), data_dir)
    assert len(centre.told) == 1


def test_by_force_the_new_takes_the_place_of_the_old(centre, token, data_dir):
    identity = data_dir / "enrolment" / "identity.pem"
    for _ in range(3):
        before = identity.read_bytes() if identity.exists() else None
        enrol(centre.url, lambda: token, data_dir, force=True)
        assert identity.read_bytes() != before
    assert content(data_dir) <= {"enrolment", "enrolment.before"}


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_is_told_in_the_centres_words_and_leaves_what_was_there(centre, token, data_dir, status):
    enrol(centre.url, lambda: token, data_dir)
    before = (data_dir / "enrolment" / "identity.pem").read_bytes()
    centre.status, centre.answer_by = status, lambda _: {"detail": "this token was used already"}
    with pytest.raises(CentreApiError, match=rf"refuses \({status}\): this token was used already"):
        enrol(centre.url, lambda: token, data_dir, force=True)
    assert content(data_dir) == {"enrolment"}
    assert (data_dir / "enrolment" / "identity.pem").read_bytes() == before


def test_an_answer_that_is_none_leaves_nothing(centre, token, data_dir):
    centre.answer_by = lambda _: {"gateway": "gw-1"}
    with pytest.raises(CentreApiError, match="answers in another way than a centre does"):
        enrol(centre.url, lambda: token, data_dir)
    assert content(data_dir) == set()


def test_a_certificate_for_another_key_leaves_nothing(centre, token, data_dir):
    other = NewKey().request_pem
    centre.answer_by = lambda _: centre._enrolled({"signing_request": other})
    with pytest.raises(IdentityError, match="for another key"):
        enrol(centre.url, lambda: token, data_dir)
    assert content(data_dir) == set()


def test_a_folder_that_cannot_be_made_is_told_before_the_token_is_sent(centre, token, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EnrolmentError, match=r"cannot be written .*; the token was not sent"):
        enrol(centre.url, lambda: token, tmp_path / "file" / "state")
    assert centre.told == []


def test_a_text_that_is_no_token_is_told():
    for text in ("", "swe.", "swk_1f2e3d4c_abc"):
        with pytest.raises(EnrolmentTokenError, match="no enrolment token"):
            parse_token(text)


def test_the_command_takes_the_token_from_standard_input_or_a_file_and_never_shows_it(
    centre, token, data_dir, tmp_path
):
    (tmp_path / "token").write_text(f"{token.text}\n")
    options = ["enroll", centre.url, "--data-dir", data_dir]
    for words, stdin in (([], token.text), (["--force", "--token-file", tmp_path / "token"], "")):
        done = subprocess.run([PROGRAM, *options, *words], input=stdin, capture_output=True, text=True, check=True)
        assert "gateway gw-1 of site hamburg is enrolled until" in done.stdout
        assert "engines: E-1, E-2, as units 1 to 2 of the source" in done.stdout
        assert token.text not in done.stdout + done.stderr
    done = subprocess.run([PROGRAM, *options], input="", capture_output=True, text=True)
    assert (done.returncode, "to enrol anew" in done.stderr) == (1, True)


@pytest.fixture
def renewal(centre, token, data_dir):
    """Renews what was enrolled, as of some days from now."""
    enrol(centre.url, lambda: token, data_dir)
    folder = data_dir / "enrolment"

    def make(in_days, delay=0.0):
        def now():
            return NOW + timedelta(days=in_days)

        return Renewal(
            centre.url, folder / "identity.pem", folder / "ca.crt", now, uniform=lambda low, high: low + high * delay
        )

    make.file = folder / "identity.pem"
    return make


def test_a_renewal_is_due_at_two_thirds_and_not_for_all_at_once(renewal, centre):
    before = renewal.file.read_bytes()
    assert not renewal(59.9).renew_if_due()
    assert not renewal(60.1, delay=1.0).renew_if_due()
    assert renewal.file.read_bytes() == before
    assert renewal(64.6, delay=1.0).renew_if_due()
    assert renewal.file.read_bytes() != before
    assert centre.told[-1][0] == "/api/v1/enrolment/renewals"


def test_a_renewal_that_fails_leaves_the_present_certificate(renewal, centre):
    before = renewal.file.read_bytes()
    other = NewKey().request_pem
    centre.answer_by = lambda _: centre._enrolled({"signing_request": other})
    with pytest.raises(IdentityError):
        renewal(61).renew_if_due()
    centre.close()
    with pytest.raises(CentreApiError, match="does not answer"):
        renewal(61).renew_if_due()
    assert renewal.file.read_bytes() == before
    assert read_identity(renewal.file).pem


def test_a_power_cut_at_any_moment_leaves_one_whole_identity(tmp_path, monkeypatch):
    """Whatever of the steps was done: the file is the old one or the new one, never a part."""
    file = tmp_path / "identity.pem"
    write_secret(file, b"old")

    def die(*_):
        raise KeyboardInterrupt

    for where, step in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(where, step, die)
            with pytest.raises(KeyboardInterrupt):
                write_secret(file, b"new" * 1000)
        assert file.read_bytes() == b"old"
    write_secret(file, b"new")  # over what the cuts have left
    assert (file.read_bytes(), content(tmp_path)) == (b"new", {"identity.pem"})
