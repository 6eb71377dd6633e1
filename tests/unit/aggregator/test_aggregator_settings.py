import argparse

import pytest

from aggregator.settings import AggregatorSettings, BrokerSettings
from shared.errors import SettingsError
from shared.settings import add_flags, load


def test_the_defaults_need_nothing_else_installed():
    settings = load(AggregatorSettings)
    assert settings.store_url() == "sqlite:////var/lib/spoolwatch-aggregator/store.db"
    assert (settings.api.host, settings.broker.kind, settings.replica) == ("127.0.0.1", "embedded", "a")


def test_a_database_url_wins_over_the_data_folder(monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_DATABASE_URL", "postgresql:///fleet")
    assert load(AggregatorSettings).store_url() == "postgresql:///fleet"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_served(host, monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_API__HOST", host)
    assert load(AggregatorSettings).api.host == host


@pytest.mark.parametrize(
    ("name", "setting", "reason"),
    [
        ("API__HOST", "0.0.0.0", "not a loopback address; there are no accounts yet"),  # noqa: S104  # what is refused
        ("API__HOST", "example.org", "not a loopback address"),
        ("BROKER__HOST", "192.0.2.1", "serves loopback only"),
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


def test_the_mqtt_version_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SPOOLWATCH_AGGREGATOR_BROKER__MQTT_VERSION", "3")
    assert load(AggregatorSettings).broker.mqtt_version == 3


SCALARS = {
    "data_dir": "/srv/centre",
    "database_url": "postgresql:///fleet",
    "command_key_file": "/srv/key",
    "replica": "b",
    "api.host": "127.0.0.2",
    "api.port": "8001",
    "broker.kind": "external",
    "broker.host": "mqtt.example.org",
    "broker.port": "8883",
    "broker.mqtt_version": "3",
    "broker.share_group": "centres",
    "broker.username": "centre",
    "broker.password_file": "/srv/password",
    "quarantine.max_rows": "5000",
    "quarantine.max_bytes": "1048576",
    "log_level": "DEBUG",
    "log_format": "json",
}
NEEDED = {"broker.share_group": {"broker.kind": "external"}, "broker.host": {"broker.kind": "external"}}


def flat(settings, prefix=""):
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if hasattr(type(value), "model_fields"):
            yield from flat(value, f"{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def test_no_setting_is_left_out_of_these_tests():
    assert dict(flat(load(AggregatorSettings))).keys() == SCALARS.keys()


@pytest.mark.parametrize("name", SCALARS)
def test_every_setting_can_be_a_flag(name):
    parser = argparse.ArgumentParser()
    flags = add_flags(AggregatorSettings, parser)
    given = {name: SCALARS[name], **NEEDED.get(name, {})}
    words = [word for one, text in given.items() for word in (f"--{one.replace('_', '-')}", text)]
    settings = load(AggregatorSettings, flags=flags, arguments=parser.parse_args(words))
    assert dict(flat(settings))[name] == SCALARS[name]


@pytest.mark.parametrize("name", SCALARS)
def test_every_setting_can_be_a_variable(name, monkeypatch):
    for one, text in {name: SCALARS[name], **NEEDED.get(name, {})}.items():
        monkeypatch.setenv(f"SPOOLWATCH_AGGREGATOR_{one.replace('.', '__').upper()}", text)
    assert dict(flat(load(AggregatorSettings)))[name] == SCALARS[name]


def test_an_external_broker_may_be_elsewhere():
    assert BrokerSettings(kind="external", host="192.0.2.1").host == "192.0.2.1"


def test_the_password_is_read_from_its_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\n")
    assert BrokerSettings(password_file=file).password() == "secret"
    assert BrokerSettings().password() is None
    with pytest.raises(SettingsError, match=r"broker.password_file .*No such file"):
        BrokerSettings(password_file=tmp_path / "none").password()
