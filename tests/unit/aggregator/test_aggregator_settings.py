import json

import pytest

from aggregator.settings import AggregatorSettings, ApiSettings, BrokerSettings, IssuerSettings
from shared.errors import SettingsError
from shared.settings import CommandParser, load

ISSUER = IssuerSettings(url="https://id.example.org", jwks_url="https://id.example.org/certs", audience="spoolwatch")


def test_the_defaults_need_nothing_else_installed():
    settings = load(AggregatorSettings)
    assert settings.store_url() == "sqlite:////var/lib/spoolwatch-aggregator/store.db"
    assert (settings.api.host, settings.broker.kind, settings.replica) == ("127.0.0.1", "embedded", "a")


def test_a_database_url_wins_over_the_data_folder(monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_DATABASE_URL", "postgresql:///fleet")
    assert load(AggregatorSettings).store_url() == "postgresql:///fleet"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_served_without_accounts(host):
    AggregatorSettings(api=ApiSettings(host=host)).check_host(has_accounts=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "centre.example.org"])  # noqa: S104  # what is refused
def test_p8_other_addresses_are_served_only_once_there_are_accounts(host):
    settings = AggregatorSettings(api=ApiSettings(host=host))
    settings.check_host(has_accounts=True)
    settings.model_copy(update={"issuer": ISSUER}).check_host(has_accounts=False)
    with pytest.raises(SettingsError, match=r"nobody has an account yet.* spoolwatch-aggregator user add"):
        settings.check_host(has_accounts=False)


def test_p8_a_proxy_is_served_only_once_there_are_accounts():
    settings = AggregatorSettings(api=ApiSettings(trusted_proxies=("127.0.0.1",)))
    settings.check_host(has_accounts=True)
    settings.model_copy(update={"issuer": ISSUER}).check_host(has_accounts=False)
    with pytest.raises(SettingsError, match=r"trusted_proxies: nobody has an account yet.* user add"):
        settings.check_host(has_accounts=False)


def test_the_keys_of_an_issuer_come_over_tls():
    assert IssuerSettings(**ISSUER.model_dump() | {"jwks_url": "http://127.0.0.1:9/certs"}).audience == "spoolwatch"
    for url in ("http://id.example.org/certs", "file:///etc/passwd", "ftp://127.0.0.1/x"):
        with pytest.raises(ValueError, match="must be https"):
            IssuerSettings(**ISSUER.model_dump() | {"jwks_url": url})


@pytest.mark.parametrize(
    ("name", "setting", "reason"),
    [
        ("API__RATE", "many", "'many' is no rate; write it like 600/minute"),
        ("API__LOGIN_RATE", "0/minute", "is no rate"),
        ("API__MAX_BODY_BYTES", "10", "should be greater than or equal to 1024"),
        ("API__PUBLIC_URL", "spoolwatch.example.org", "is no address of pages; write it like https://"),
        ("ISSUER__URL", "https://id.example.org", "url, jwks_url and audience belong together"),
        ("BROKER__HOST", "192.0.2.1", "serves loopback only"),
        ("FLEET__CRITICAL_BELOW_CYCLES", "60", "fleet: critical_below_cycles must not be above warning_below_cycles"),
        ("QUARANTINE__MAX_BYTES", "1000", "quarantine.max_bytes: Input should be greater than or equal to 262144"),
        ("REPLICA", "a/b", "'a/b' is not a valid name"),
        ("BROKER__MQTT_VERSION", "five", "broker.mqtt_version: Input should be 3 or 5"),
        ("BROKER__SHARE_GROUP", "centre", "needs an external broker and MQTT 5"),
        ("BROKER__PROT", "1883", "is not a setting"),
        ("BROCKER__PORT", "1883", "environment variable SPOOLWATCH_AGGREGATOR_BROCKER__PORT is not a setting"),
    ],
)
def test_a_wrong_setting_is_named_with_its_reason(name, setting, reason, monkeypatch):
    monkeypatch.setenv(f"SPOOLWATCH_AGGREGATOR_{name}", setting)
    with pytest.raises(SettingsError, match=reason):
        load(AggregatorSettings)


def test_links_have_one_slash():
    assert ApiSettings(public_url="https://example.org/spoolwatch/").public_url == "https://example.org/spoolwatch"


def test_the_mqtt_version_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_BROKER__MQTT_VERSION", "3")
    assert load(AggregatorSettings).broker.mqtt_version == 3


SCALARS = {
    "data_dir": "/srv/centre",
    "database_url": "postgresql:///fleet",
    "command_key_file": "/srv/key",
    "token_key_file": "/srv/token.key",
    "ca_file": "/srv/ca.pem",
    "replica": "b",
    "api.host": "127.0.0.2",
    "api.port": "8001",
    "api.max_body_bytes": "2048",
    "api.rate": "600/minute",
    "api.login_rate": "5/minute",
    "api.cors_origins": '["https://planner.example.org"]',
    "api.tls_cert_file": "/srv/server.crt",
    "api.tls_key_file": "/srv/server.key",
    "api.public_url": "https://spoolwatch.example.org",
    "api.trusted_proxies": '["192.0.2.1", "192.0.2.2"]',
    "issuer.url": "https://id.example.org",
    "issuer.jwks_url": "https://id.example.org/certs",
    "issuer.audience": "spoolwatch",
    "issuer.name_claim": "email",
    "issuer.roles_claim": "realm_access.roles",
    "broker.kind": "external",
    "broker.host": "mqtt.example.org",
    "broker.port": "8883",
    "broker.mqtt_version": "3",
    "broker.tls": "True",
    "broker.ca_file": "/srv/ca.crt",
    "broker.cert_file": "/srv/centre.crt",
    "broker.key_file": "/srv/centre.key",
    "broker.server_name": "broker.internal",
    "broker.dynamic_security": "True",
    "broker.share_group": "centres",
    "broker.username": "centre",
    "broker.password_file": "/srv/password",
    "enrolment.broker_host": "mqtt.example.org",
    "enrolment.broker_port": "443",
    "enrolment.transport": "websockets",
    "enrolment.path": "/broker",
    "enrolment.certificate_days": "30",
    "enrolment.token_hours": "2",
    "quarantine.max_rows": "5000",
    "quarantine.max_bytes": "1048576",
    "retention.telemetry_days": "400",
    "retention.predictions_days": "2000",
    "fleet.critical_below_cycles": "10.0",
    "fleet.warning_below_cycles": "40.0",
    "fleet.quantile": "q05",
    "log_level": "DEBUG",
    "log_format": "json",
}
WHOLE_ISSUER = {f"issuer.{name}": SCALARS[f"issuer.{name}"] for name in ("url", "jwks_url", "audience")}
NEEDED = {
    "broker.share_group": {"broker.kind": "external"},
    "broker.host": {"broker.kind": "external"},
    "broker.tls": {"broker.kind": "external"},
    "broker.dynamic_security": {"broker.kind": "external", "broker.tls": "True"},
    **dict.fromkeys(WHOLE_ISSUER, WHOLE_ISSUER),
}


def flat(settings, prefix=""):
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if hasattr(type(value), "model_fields"):
            yield from flat(value, f"{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, tuple) else str(value)


def test_no_setting_is_left_out_of_these_tests():
    assert dict(flat(load(AggregatorSettings))).keys() == SCALARS.keys()


@pytest.mark.parametrize("name", SCALARS)
def test_every_setting_can_be_a_flag(name):
    parser = CommandParser()
    parser.take_settings(AggregatorSettings)
    given = {name: SCALARS[name], **NEEDED.get(name, {})}
    words = [
        word
        for one, text in given.items()
        for word in (f"--{one.replace('_', '-')}", *([] if text == "True" else [text]))
    ]
    settings = load(AggregatorSettings, arguments=parser.parse_args(words))
    assert dict(flat(settings))[name] == SCALARS[name]


def test_only_the_command_that_is_run_gets_its_flags():
    parser = CommandParser()
    commands = parser.add_subparsers()
    run, other = commands.add_parser("run"), commands.add_parser("other")
    for command in (run, other):
        command.take_settings(AggregatorSettings)
    assert load(AggregatorSettings, arguments=parser.parse_args(["run", "--api.port", "1"])).api.port == 1
    assert "--api.port" in run.format_help()
    assert "--api.port" not in other.format_help()


@pytest.mark.parametrize("name", SCALARS)
def test_every_setting_can_be_a_variable(name, monkeypatch):
    for one, text in {name: SCALARS[name], **NEEDED.get(name, {})}.items():
        monkeypatch.setenv(f"SPOOLWATCH_AGGREGATOR_{one.replace('.', '__').upper()}", text)
    assert dict(flat(load(AggregatorSettings)))[name] == SCALARS[name]


def test_an_external_broker_may_be_elsewhere():
    assert BrokerSettings(kind="external", host="192.0.2.1").host == "192.0.2.1"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"host": "192.0.2.1", "password_file": "/srv/password"}, "set tls = true"),
        ({"dynamic_security": True}, "set tls = true"),
        ({"kind": "embedded", "tls": True}, "set kind = external"),
    ],
)
def test_p8_what_would_travel_in_the_clear_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        BrokerSettings(**{"kind": "external"} | wrong)


def test_the_usual_port_depends_on_tls():
    assert (BrokerSettings().tcp_port, BrokerSettings(kind="external", tls=True).tcp_port) == (1883, 8883)


def test_the_password_is_read_from_its_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\n")
    assert BrokerSettings(password_file=file).password() == "secret"
    assert BrokerSettings().password() is None
    with pytest.raises(SettingsError, match=r"broker.password_file .*No such file"):
        BrokerSettings(password_file=tmp_path / "none").password()
