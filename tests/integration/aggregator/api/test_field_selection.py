"""`?fields=`: what every read takes, and what is left of its answer."""

import csv
import io

import pytest

from aggregator.api.app import create_app
from aggregator.ingest.status import IngestStatus
from aggregator.store.database import Store

DESCRIBED = create_app(Store("sqlite:///never-opened.db"), IngestStatus()).openapi()
CSV = ["/api/v1/engines/{serial}/telemetry.csv", "/api/v1/engines/{serial}/predictions.csv"]


def content_of(operation):
    return operation["responses"].get("200", {}).get("content", {})


READS = [
    path
    for path, operations in DESCRIBED["paths"].items()
    if path.startswith("/api/v1") and "application/json" in content_of(operations.get("get", {"responses": {}}))
]


def resolved(schema):
    """The whole, where some fields of it would do as well."""
    schema = schema.get("anyOf", [schema])[0]
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return DESCRIBED["components"]["schemas"][name] if name else schema


def parameter_of(path):
    (found,) = [one for one in DESCRIBED["paths"][path]["get"]["parameters"] if one["name"] == "fields"]
    return found


def names_of(path):
    (choice, _) = parameter_of(path)["schema"]["anyOf"]
    return choice["items"].get("enum") or [choice["items"]["const"]]


@pytest.fixture
def life(recorder):
    recorder.register("E-1")
    for cycle in (1, 2, 3):
        channels = {"T24": 600.0 + cycle, "P30": 550.0}
        recorder.send(recorder.row("E-1", cycle, channels), recorder.prediction("E-1", cycle, q50=100.0 - cycle))


@pytest.mark.parametrize("path", READS)
def test_every_read_takes_the_names_of_the_fields_that_its_items_have(path):
    shown = resolved(content_of(DESCRIBED["paths"][path]["get"])["application/json"]["schema"])
    items = shown.get("items") or shown["properties"].get("items", {}).get("items") or shown
    assert names_of(path) == list(resolved(items)["properties"])
    assert resolved(items)["required"]
    assert (parameter_of(path)["style"], parameter_of(path)["explode"]) == ("form", False)


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize(
    "path",
    ["engines", "engines/E-1/telemetry", "engines/E-1/predictions", "gateways", "installations", "fleet/due?"],
)
async def test_of_a_list_the_fields_of_its_items_are_left(client, path):
    url = f"/api/v1/{path}"
    query = {"before": "2026-12-31", "verdict": "undetermined"} if path.endswith("?") else {}
    whole = (await client.get(url, params=query)).json()
    names = list(whole["items"][0])[1:4:2]
    answer = await client.get(url, params=query | {"fields": ",".join(names)})
    assert answer.json() == whole | {"items": [{name: item[name] for name in names} for item in whole["items"]]}
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize("path", ["engines/E-1", "engines/E-1/why", "fleet", "models", "engines/E-1/telemetry/buckets"])
async def test_of_one_thing_and_of_a_plain_list_too(client, path):
    whole = (await client.get(f"/api/v1/{path}")).json()
    (name, *_) = whole if isinstance(whole, dict) else whole[0]
    cut = (await client.get(f"/api/v1/{path}", params={"fields": name})).json()
    assert cut == ({name: whole[name]} if isinstance(whole, dict) else [{name: one[name]} for one in whole])


async def test_several_parameters_mean_what_one_with_commas_means(client, recorder):
    recorder.engine("E-1")
    apart, together = [
        (await client.get(f"/api/v1/engines?{query}")).json()["items"]
        for query in ("fields=serial&fields=band", "fields=band,serial")
    ]
    assert apart == together == [{"serial": "E-1", "band": "healthy"}]


@pytest.mark.parametrize("path", ["engines", "engines/E-1", "engines/E-1/telemetry.csv", "fleet", "models"])
@pytest.mark.parametrize("fields", ["pasword", "", "serial,,site", "serial, site", "SERIAL"])
async def test_a_field_that_there_is_not_is_refused_with_those_that_there_are(client, recorder, path, fields):
    recorder.engine("E-1")
    answer = await client.get(f"/api/v1/{path}", params={"fields": fields})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    (problem, *_) = answer.json()["errors"]
    assert problem["location"].startswith("query.fields")
    described = f"/api/v1/{path}".replace("E-1", "{serial}")
    assert all(f"'{name}'" in problem["detail"] for name in names_of(described))


async def test_nobody_learns_from_it_who_may_not_read(client, bearer):
    assert (await client.get("/api/v1/engines", params={"fields": "nothing"})).status_code == 401
    assert (await client.get("/api/v1/audit?fields=nothing", headers=bearer("viewer@hamburg"))).status_code == 403


@pytest.mark.usefixtures("life")
async def test_pages_keep_it(client):
    first = await client.get("/api/v1/engines/E-1/telemetry", params={"fields": "cycle", "limit": 1})
    following = await client.get(first.links["next"]["url"])
    assert following.json()["items"] == [{"cycle": 2}]


async def test_its_tag_is_of_what_is_left(client, recorder):
    recorder.engine("E-1", cycle=5)
    whole = await client.get("/api/v1/engines/E-1")
    query = {"fields": "serial,type"}
    cut = await client.get("/api/v1/engines/E-1", params=query)
    assert cut.headers["etag"] != whole.headers["etag"]
    recorder.send(recorder.row("E-1", 6))
    seen = {"If-None-Match": cut.headers["etag"]}
    assert (await client.get("/api/v1/engines/E-1", params=query, headers=seen)).status_code == 304
    changed = await client.patch("/api/v1/engines/E-1", json={"type": "fan"}, headers={"If-Match": cut.headers["etag"]})
    assert changed.status_code == 200
    assert (await client.get("/api/v1/engines/E-1", params=query, headers=seen)).status_code == 200


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("telemetry.csv", "cycle,channels", ["cycle,T24,P30", "1,601.0,550.0"]),
        ("telemetry.csv", "cycle,clock_unsynced", ["cycle,clock_unsynced", "1,False"]),
        ("telemetry.csv", "channels", ["T24,P30", "601.0,550.0"]),
        ("predictions.csv", "rul_q50_cycles,cycle", ["cycle,rul_q50_cycles", "1,99.0"]),
        ("predictions.csv", "observed_at", ["observed_at", "2026-11-21T12:00:00+00:00"]),
    ],
)
async def test_of_a_file_the_columns_are_left(client, path, fields, expected):
    text = (await client.get(f"/api/v1/engines/E-1/{path}", params={"fields": fields})).text
    assert text.splitlines()[:2] == expected
    assert len(text.splitlines()) == 4


@pytest.mark.usefixtures("life")
@pytest.mark.parametrize("path", CSV)
async def test_a_file_has_the_columns_that_are_described(client, path):
    header = next(csv.reader(io.StringIO((await client.get(path.format(serial="E-1"))).text)))
    expected = [column for name in names_of(path) for column in (["T24", "P30"] if name == "channels" else [name])]
    assert header == expected
