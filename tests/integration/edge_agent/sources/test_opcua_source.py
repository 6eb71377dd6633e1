"""The OPC UA source against a real server, which runs in a thread of its own."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge_agent.opcua_settings import OpcUaSource
from edge_agent.sources.opcua import OpcUaNodes
from shared.errors import SourceError
from simulators.link import Link

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BAD = ua.StatusCode(ua.StatusCodes.BadSensorFailure)
UNCERTAIN = ua.StatusCode(ua.StatusCodes.UncertainSensorNotAccurate)


@pytest.fixture(autouse=True)
def _rest(plc):
    """Every test begins in cycle 1, long before ``NOW``."""
    for engine in ("E-1", "E-2"):
        plc.write(-1000, 1.0, engine, T24=0.0, T30=0.0)


@pytest.fixture(params=["subscription", "poll"])
def mode(request):
    return request.param


def source(port, mode, **nodes):
    channels = {"T24": "ns=2;s={engine}.T24", "T30": "ns=2;s={engine}.T30"} | nodes
    settings = OpcUaSource(
        url=f"opc.tcp://127.0.0.1:{port}",
        mode=mode,
        interval_s=0.02,
        timeout_s=1.0,
        nodes={"cycle": "ns=2;s={engine}.cycle", "channels": channels},
    )
    return OpcUaNodes(settings, {1: "E-1", 2: "E-2"}, lambda: NOW)


async def take(batches, since_s=0, engine="E-1"):
    """The next sample of an engine that the server has dated then or later."""
    async with asyncio.timeout(60):
        while True:
            for sample in (await anext(batches)).readings:
                if sample.engine == engine and sample.observed_at >= NOW + timedelta(seconds=since_s):
                    return sample


async def opened(reader):
    batches = reader.batches(None)
    async with asyncio.timeout(60):
        await anext(batches)
    return batches


async def test_what_is_written_under_one_time_is_one_sample(plc, mode):
    batches = await opened(source(plc.port, mode))
    plc.write(0, 7.0, T24=642.5, T30=1580.25)
    sample = await take(batches)
    await batches.aclose()
    assert (sample.engine, sample.cycle, sample.observed_at) == ("E-1", 7, NOW)
    assert sample.channels == {"T24": 642.5, "T30": 1580.25}
    assert b"642.5" in sample.raw


async def test_what_the_server_does_not_call_good_is_nan_and_all_else_stays(plc, mode):
    batches = await opened(source(plc.port, mode))
    plc.write(0, 7.0, T24=642.5, T30=1580.25)
    await take(batches)
    plc.write(1, T24=(BAD, 1.0))
    bad = await take(batches, 1)
    plc.write(2, T24=(UNCERTAIN, 1.0))
    uncertain = await take(batches, 2)
    plc.write(3, T24=643.0)
    good = await take(batches, 3)
    await batches.aclose()
    for sample in (bad, uncertain):
        assert sample.channels == pytest.approx({"T24": math.nan, "T30": 1580.25}, nan_ok=True)
    assert (good.cycle, good.channels) == (7, {"T24": 643.0, "T30": 1580.25})


async def test_every_sample_that_is_written_between_two_publications_comes(plc):
    reader = source(plc.port, "subscription")
    batches = await opened(reader)
    for second in range(50):
        plc.write(second, T24=600.0 + second, T30=1500.0 + second)
    samples = []
    async with asyncio.timeout(60):
        while len(samples) < 50:
            readings = (await anext(batches)).readings
            samples += [sample for sample in readings if sample.observed_at >= NOW]
    await batches.aclose()
    assert [sample.channels["T24"] for sample in samples] == [600.0 + second for second in range(50)]
    assert all(sample.channels["T30"] == sample.channels["T24"] + 900 for sample in samples)


async def test_the_same_value_under_a_new_time_is_one_more_sample(plc, mode):
    batches = await opened(source(plc.port, mode))
    for second in range(3):
        plc.write(second, T24=1.0, T30=2.0)
        assert (await take(batches, second)).channels == {"T24": 1.0, "T30": 2.0}
    await batches.aclose()


async def test_where_nothing_new_is_told_it_says_that_it_is_alive_and_gives_nothing_twice(plc, mode):
    batches = await opened(source(plc.port, mode))
    plc.write(0, T24=1.0)
    await take(batches)
    for _ in range(3):
        assert [sample for sample in (await anext(batches)).readings if sample.observed_at >= NOW] == []
    await batches.aclose()


async def test_a_lost_connection_is_told_and_a_new_one_reads_on(plc, mode):
    link = Link(plc.port)
    reader = source(link.port, mode)
    batches = await opened(reader)
    link.cut()
    with pytest.raises(SourceError, match=rf"opc\.tcp://127\.0\.0\.1:{link.port}"):
        await take(batches)
    with pytest.raises(SourceError):
        await anext(reader.batches(None))
    link.heal()
    batches = await opened(reader)
    plc.write(0, T24=2.0)
    assert (await take(batches)).channels["T24"] == 2.0
    await batches.aclose()
    link.close()


async def test_a_connection_over_which_nothing_comes_any_more_is_told(plc, mode):
    link = Link(plc.port)
    reader = source(link.port, mode)
    batches = await opened(reader)
    link.freeze()
    with pytest.raises(SourceError, match=r"does not answer|is lost"):
        await take(batches)
    link.close()


async def test_what_a_lost_connection_leaves_at_the_server_is_soon_forgotten(plc):
    batches = await opened(source(plc.port, "subscription"))
    assert max(plc.lasting_s()) <= 120
    await batches.aclose()


async def test_a_node_that_is_not_there_is_named(plc, mode):
    with pytest.raises(SourceError, match=r"E-1\.phi \(BadNodeIdUnknown\).*source\.nodes"):
        await anext(source(plc.port, mode, phi="ns=2;s={engine}.phi").batches(None))


async def test_a_namespace_may_be_named_by_its_uri(plc, mode):
    batches = await opened(source(plc.port, mode, T24="nsu=urn:test;s={engine}.T24"))
    plc.write(0, 7.0, T24=642.5, T30=1580.25)
    sample = await take(batches)
    await batches.aclose()
    assert sample.channels == {"T24": 642.5, "T30": 1580.25}


async def test_a_namespace_that_is_not_there_is_named_with_those_that_are(plc, mode):
    with pytest.raises(SourceError, match=r"no namespace urn:other; it has .*urn:test"):
        await anext(source(plc.port, mode, T24="nsu=urn:other;s={engine}.T24").batches(None))


async def test_a_node_id_that_is_none_is_named(plc, mode):
    with pytest.raises(SourceError, match="phi"):
        await anext(source(plc.port, mode, phi="phi").batches(None))


async def identity(folder, uri):
    """A key and its self-signed certificate in a new folder."""
    folder.mkdir()
    await setup_self_signed_certificate(
        folder / "key.pem", folder / "cert.der", uri, "localhost", [ExtendedKeyUsageOID.CLIENT_AUTH], {}
    )
    return folder


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identities")
    names = ("plc", "gateway", "stranger")
    return {name: asyncio.run(identity(folder / name, f"urn:test:{name}")) for name in names}


@pytest.fixture(scope="module")
def secured(identities, make_plc):
    return make_plc(identities["plc"], {"anna": "correct horse"})


def secured_source(port, identities, *, server="plc", password, tmp_path):
    (tmp_path / "password").write_text(f"{password}\n")
    settings = OpcUaSource(
        url=f"opc.tcp://127.0.0.1:{port}",
        interval_s=0.02,
        timeout_s=2.0,
        nodes={"channels": {"T24": "ns=2;s={engine}.T24"}},
        security="Basic256Sha256",
        certificate=identities["gateway"] / "cert.der",
        private_key=identities["gateway"] / "key.pem",
        server_certificate=identities[server] / "cert.der",
        username="anna",
        password_file=tmp_path / "password",
    )
    return OpcUaNodes(settings, {1: "E-1"}, lambda: NOW)


async def test_a_server_is_read_through_its_security_policy(secured, identities, tmp_path):
    secured.write(-1000, T24=0.0)
    batches = await opened(secured_source(secured.port, identities, password="correct horse", tmp_path=tmp_path))
    secured.write(0, T24=642.5)
    assert (await take(batches)).channels == {"T24": 642.5}
    await batches.aclose()


@pytest.mark.parametrize("wrong", [{"server": "stranger", "password": "correct horse"}, {"password": "battery staple"}])
async def test_a_server_that_is_not_the_trusted_one_or_does_not_trust_us_is_told(secured, identities, tmp_path, wrong):
    with pytest.raises(SourceError, match=r"opc\.tcp"):
        await anext(secured_source(secured.port, identities, tmp_path=tmp_path, **wrong).batches(None))


async def test_a_secured_server_gives_nothing_without_its_policy(secured):
    with pytest.raises(SourceError, match=r"opc\.tcp"):
        await anext(source(secured.port, "poll").batches(None))
