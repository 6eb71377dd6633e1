import pytest
from pydantic import ValidationError

from edge_agent.settings import DATA_DIR, BrokerSettings, data_dir_of


@pytest.mark.parametrize("host", ["192.0.2.1", "mqtt.example.org"])
def test_p8_a_password_goes_through_tls_or_to_loopback_only(host):
    with pytest.raises(ValidationError, match="through TLS or to loopback only; set tls = true"):
        BrokerSettings(host=host, username="gw-1", password_file="/etc/password")
    assert BrokerSettings(host=host, username="gw-1", password_file="/etc/password", tls=True).tls
    assert BrokerSettings(host="127.0.0.1", username="gw-1", password_file="/etc/password").encryption is None


def test_files_for_tls_without_tls_are_a_mistake():
    with pytest.raises(ValidationError, match="ca_file, cert_file: of no use without tls = true"):
        BrokerSettings(ca_file="/etc/ca.crt", cert_file="/etc/gw.pem")


@pytest.mark.parametrize(
    ("chosen", "port"),
    [
        ({}, 1883),
        ({"tls": True}, 8883),
        ({"tls": True, "transport": "websockets"}, 443),
        ({"tls": True, "transport": "websockets", "port": 9443}, 9443),
    ],
)
def test_the_usual_port_goes_by_what_travels_there(chosen, port):
    assert BrokerSettings(**chosen).tcp_port == port


def test_the_data_folder_is_where_the_last_word_on_it_says(tmp_path, monkeypatch):
    config = tmp_path / "agent.toml"
    assert data_dir_of(config, None) == DATA_DIR
    config.write_text('data_dir = "/srv/file"\n')
    assert str(data_dir_of(config, None)) == "/srv/file"
    monkeypatch.setenv("SPOOLWATCH_AGENT_DATA_DIR", "/srv/variable")
    assert str(data_dir_of(config, None)) == "/srv/variable"
    assert str(data_dir_of(config, "/srv/flag")) == "/srv/flag"
