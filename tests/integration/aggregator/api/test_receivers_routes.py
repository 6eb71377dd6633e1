"""Receivers over the API: who is told, without their secrets, and what they were told."""

import pytest

from aggregator.access.sealing import Seal
from aggregator.fleet.notifying import Wishes
from aggregator.store.notifications import mark_refused, route, take_due
from aggregator.store.receivers import Address, NewReceiver, add_receiver
from aggregator.store.tables import Receiver

RECEIVERS = "/api/v1/receivers"
URL = "http://127.0.0.1:1/hooks/7f3a-secret"
HOOK = {"name": "cmms", "kind": "cloudevents", "url": URL}


async def test_a_receiver_is_added_looked_at_edited_and_deleted(client, bearer):
    headers = bearer("admin@hamburg")
    wanted = HOOK | {"site": "hamburg", "wishes": {"priority": "high", "digest_s": 600}}
    added = await client.post(RECEIVERS, json=wanted, headers=headers)
    assert added.status_code == 201, added.text
    assert added.headers["cache-control"] == "no-store"
    made = added.json()
    assert made.pop("secret").startswith("whsec_")
    assert (made["via"], made["problem"], made["enabled"]) == ("http://127.0.0.1:1", None, True)
    assert made["wishes"] == Wishes(priority="high", digest_s=600).model_dump(mode="json")
    path = added.headers["location"]
    seen = await client.get(path, headers=headers)
    assert (seen.json(), seen.headers["etag"].partition("-")[0]) == (made, added.headers["etag"].rstrip('"'))
    assert (await client.get(RECEIVERS, headers=headers)).json() == {"items": [made]}
    edit = {"wishes": {"events": ["alarm.raised", "alarm.cleared"]}, "enabled": False}
    stale = headers | {"If-Match": added.headers["etag"]}
    edited = await client.put(path, json=edit, headers=stale)
    assert (edited.status_code, edited.json()["enabled"]) == (200, False)
    assert edited.json()["wishes"]["events"] == ["alarm.raised", "alarm.cleared"]
    moved = edit | {"url": "https://cmms.example.org/other"}
    assert (await client.put(path, json=moved, headers=stale)).status_code == 412
    assert (await client.put(path, json=moved, headers=headers)).json()["via"] == "https://cmms.example.org"
    assert (await client.delete(path, headers=headers)).status_code == 204
    assert (await client.get(path, headers=headers)).status_code == 404


async def test_no_secret_is_shown_again_or_logged(client, capsys):
    made = (await client.post(RECEIVERS, json=HOOK)).json()
    await client.put(f"{RECEIVERS}/{made['id']}", json={"url": URL + "-2"})
    await client.post(f"{RECEIVERS}/{made['id']}/test")
    for path in (RECEIVERS, f"{RECEIVERS}/{made['id']}", "/api/v1/audit", "/api/v1/notifications"):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert "secret" not in answer.text
        assert made["secret"] not in answer.text
    assert "7f3a" not in capsys.readouterr().out


async def test_a_secret_is_changed_while_both_are_good(client, app, clock):
    made = (await client.post(RECEIVERS, json=HOOK)).json()
    path, courier = f"{RECEIVERS}/{made['id']}", app.state.centre.courier

    def good():
        with app.state.centre.store.session() as session:
            row = session.get(Receiver, made["id"])
        return courier._open(row.name, row.sealed).good(clock())

    rotated = await client.post(f"{path}/secret", json={"overlap_s": 60})
    assert (rotated.status_code, rotated.headers["cache-control"]) == (200, "no-store")
    new = rotated.json()["secret"]
    assert good() == [new, made["secret"]]
    assert (await client.put(path, json={"url": URL + "-2"})).status_code == 200
    assert good() == [new, made["secret"]]
    clock.advance(60)
    assert good() == [new]
    third = (await client.post(f"{path}/secret", json={"overlap_s": 0})).json()["secret"]
    assert good() == [third]
    stale = await client.post(f"{path}/secret", json={}, headers={"If-Match": rotated.headers["etag"]})
    assert stale.status_code == 412
    texts = [(await client.get(where)).text for where in (path, "/api/v1/audit")]
    assert "receiver.rotate_secret" in texts[1]
    assert not any(secret in text for secret in (made["secret"], new, third) for text in texts)


async def test_who_tells_people_has_no_secret_to_change(client, store, clock):
    address = Address("apprise", "E-Mail", "sealed")
    receiver_id = add_receiver(store, NewReceiver("team", "", address, Wishes()), clock())
    refused = await client.post(f"{RECEIVERS}/{receiver_id}/secret", json={})
    assert refused.status_code == 409
    assert "of kind apprise, which has no secret" in refused.json()["detail"]


async def test_an_edit_keeps_the_url_and_the_secret_that_it_does_not_name(client, app):
    made = (await client.post(RECEIVERS, json=HOOK)).json()
    courier = app.state.centre.courier

    def kept():
        with app.state.centre.store.session() as session:
            row = session.get(Receiver, made["id"])
            return courier._open(row.name, row.sealed)

    await client.put(f"{RECEIVERS}/{made['id']}", json={"wishes": {"priority": "high"}})
    assert (kept().url, kept().secret) == (URL, made["secret"])
    await client.put(f"{RECEIVERS}/{made['id']}", json={"url": URL + "-2"})
    assert (kept().url, kept().secret) == (URL + "-2", made["secret"])


async def test_a_receiver_whose_secret_no_key_opens_says_what_to_do(client, app, clock):
    address = Address("cloudevents", "http://127.0.0.1:1", Seal(bytes(32)).close(b"{}", "cmms"))
    made = add_receiver(app.state.centre.store, NewReceiver("cmms", "", address, Wishes()), clock())
    tested = (await client.post(f"{RECEIVERS}/{made}/test")).json()
    assert tested == {"sent": False, "detail": "the secrets of cmms were kept under another key; enter them again"}
    edited = await client.put(f"{RECEIVERS}/{made}", json={"url": URL})
    assert (edited.status_code, "add it anew" in edited.json()["detail"]) == (409, True)


async def test_a_test_tells_in_words_what_came_of_it(client):
    made = (await client.post(RECEIVERS, json=HOOK)).json()
    answer = await client.post(f"{RECEIVERS}/{made['id']}/test")
    assert answer.json() == {"sent": False, "detail": "the connection was refused: nobody listens there"}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"kind": "cloudevents", "url": "http://cmms.example.org/"}, "body.url"),
        ({"kind": "apprise", "url": "nonsense://x"}, "body.url"),
        ({"kind": "apprise", "url": "mailto://with space"}, "body.url"),
        ({"kind": "fax"}, "body.kind"),
        ({"wishes": {"events": []}}, "body.wishes.events"),
        ({"wishes": {"digest_s": 5}}, "body.wishes.digest_s"),
        ({"wishes": {"quiet_hours": {"begin": "20:00", "end": "6:00", "zone": "UTC"}}}, "body.wishes.quiet_hours.end"),
        ({"name": "with space"}, "body.name"),
    ],
)
async def test_what_is_no_receiver_is_refused_with_its_reason(client, wrong, where):
    answer = await client.post(RECEIVERS, json=HOOK | wrong)
    assert (answer.status_code, answer.json()["errors"][0]["location"]) == (422, where), answer.text


async def test_a_name_is_given_once(client):
    await client.post(RECEIVERS, json=HOOK)
    answer = await client.post(RECEIVERS, json=HOOK)
    assert (answer.status_code, answer.json()["detail"]) == (409, "there is a receiver cmms already; edit that one")


async def test_receivers_for_all_sites_take_an_admin_of_all(client, bearer):
    refused = await client.post(RECEIVERS, json=HOOK, headers=bearer("admin@hamburg"))
    assert (refused.status_code, refused.json()["detail"]) == (403, "This takes the role admin at all sites.")
    made = await client.post(RECEIVERS, json=HOOK, headers=bearer("admin@*"))
    assert (await client.get(RECEIVERS, headers=bearer("admin@hamburg"))).json() == {"items": []}
    assert (await client.get(made.headers["location"], headers=bearer("admin@hamburg"))).status_code == 404


async def test_what_was_given_up_is_listed_and_sent_again(client, store, clock, recorder):
    made = (await client.post(RECEIVERS, json=HOOK)).json()
    recorder.engine("E-1")
    recorder.send(*(recorder.prediction("E-1", cycle, q50=10.0) for cycle in (2, 3, 4)))
    route(store, clock(), lambda _: {})
    mark_refused(store, take_due(store, made["id"], clock()), clock(), "answered 404")
    (dead,) = (await client.get("/api/v1/notifications", params={"state": "dead"})).json()["items"]
    assert (dead["receiver"], dead["event"], dead["error"]) == ("cmms", "alarm.raised", "answered 404")
    again = await client.post("/api/v1/notifications/resends", json={"ids": [dead["id"], 99]})
    assert again.json() == {"ids": [dead["id"]]}
    page = await client.get("/api/v1/notifications", params={"receiver": "cmms", "limit": 1})
    (first,) = page.json()["items"]
    (second,) = (await client.get(page.links["next"]["url"])).json()["items"]
    assert [(one["id"], one["state"]) for one in (first, second)] == [
        *((first["id"], "waiting"), (dead["id"], "waiting"))
    ]
    assert (await client.get("/api/v1/notifications", params={"receiver": "other"})).json()["items"] == []
