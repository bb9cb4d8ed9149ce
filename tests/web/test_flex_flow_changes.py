"""Changes of Flex Flows: none is lost, each is recorded, and no secret is."""

import datetime as dt
import json

import gevent
import pytest

from router.store.flows import FlowChanged
from router.store.keys import AccountKeys
from tests.web.rest import BASE, KEY, KEY_SECRET, ONE, THREE, Rest, flow_form

FLOWS = "/v1/FlexFlows"


def test_concurrent_updates_lose_nothing(rest: Rest) -> None:
    """Concurrent updates of a flow are all applied, and each is recorded."""
    sid = rest.create()["sid"]
    forms = [
        {"FriendlyName": "new"}, {"ChatServiceSid": "IS" + "6" * 32}, {"LongLived": "true"}, {"Paused": "true"},
        {"JanitorEnabled": "true"}, {"Priority": "7"}, {"ValidityPeriod": "60"}, {"Integration.RetryCount": "9"},
        {"Language": "fr"}, {"FallbackTwiml": "<Response/>"},
    ]  # fmt: skip
    assert _at_once(rest, f"{FLOWS}/{sid}", forms) == [200] * len(forms)
    flow = rest.call("GET", f"{FLOWS}/{sid}").json
    assert (flow["friendly_name"], flow["chat_service_sid"], flow["long_lived"]) == ("new", "IS" + "6" * 32, True)
    assert (flow["paused"], flow["janitor_enabled"], flow["priority"]) == (True, True, 7)
    assert (flow["validity_period"], flow["integration"]["retry_count"]) == (60, 9)
    assert (flow["language"], flow["fallback_twiml"]) == (["fr"], "<Response/>")
    changes = rest.call("GET", f"{FLOWS}/{sid}/Changes").json["changes"]
    assert [len(change["changes"]) for change in changes[:-1]] == [1] * len(forms)


def test_concurrent_creates_leave_one_default(rest: Rest) -> None:
    """Of flows created at once for one address one succeeds, and the others are 409."""
    assert sorted(_at_once(rest, FLOWS, [flow_form()] * 10)) == [201] + [409] * 9
    assert len(rest.listed(FLOWS)) == 1


def _at_once(rest: Rest, path: str, forms: list[dict[str, str]]) -> list[int]:
    posts = [gevent.spawn(rest.call, "POST", path, form) for form in forms]
    return [post.get(timeout=10).status for post in posts]


def test_every_change_is_recorded(rest: Rest) -> None:
    """Each change is recorded with who, when and the values, newest first, also after the flow is deleted."""
    sid = rest.create()["sid"]
    rest.create(2)
    changed = {"Enabled": "false", "Language": "fr,de"}
    rest.call("POST", f"{FLOWS}/{sid}", changed, user=KEY, token=KEY_SECRET)
    rest.call("POST", f"{FLOWS}/{sid}", changed)  # no change: no record
    rest.call("POST", f"/v1/FlexFlows/{sid}", {"Enabled": "nonsense"})
    rest.call("DELETE", f"{FLOWS}/{sid}")
    changes = [change for page in rest.pages(f"{FLOWS}/{sid}/Changes?PageSize=2") for change in page["changes"]]
    assert [(change["action"], change["by"]) for change in changes] == [
        ("deleted", ONE),
        ("updated", KEY),
        ("created", ONE),
    ]
    assert changes[1]["changes"] == {
        "enabled": {"before": True, "after": False},
        "language": {"before": [], "after": ["fr", "de"]},
    }
    assert changes[2]["changes"]["contact_identity"] == {"before": None, "after": "+15550000001"}
    assert {(change["account_sid"], change["flex_flow_sid"]) for change in changes} == {(ONE, sid)}
    assert dt.datetime.fromisoformat(changes[0]["date_created"]) <= dt.datetime.now(dt.UTC)


def test_a_secret_is_never_recorded(rest: Rest) -> None:
    """A change of a signing key is recorded without its value, and no resource shows it."""
    url = {"Integration.Url": "https://example.com"}
    sid = rest.call("POST", FLOWS, flow_form() | url | {"Integration.SigningKey": "first-secret"}).json["sid"]
    replies = [rest.call("POST", f"{FLOWS}/{sid}", {"Integration.SigningKey": key}) for key in ("second-secret", "")]
    replies += [rest.call("DELETE", f"{FLOWS}/{sid}"), rest.call("GET", f"{FLOWS}/{sid}/Changes")]
    hidden = [change["changes"]["integration.signing_key"] for change in replies[-1].json["changes"][1:]]
    assert hidden == [{"before": None, "after": "changed"}] * 3
    shown = json.dumps([reply.json for reply in replies])
    kept = rest.store.changes._client.call("XRANGE", AccountKeys(ONE).changes, "-", "+")
    for secret in ("first-secret", "second-secret"):
        assert secret not in shown
        assert secret not in str(kept)


def test_a_long_value_is_shortened_in_the_record(rest: Rest) -> None:
    """A long FallbackTwiml is cut to 200 characters in the record."""
    twiml = f"<Response><Message>{'x' * 60_000}</Message></Response>"
    sid = rest.create(FallbackTwiml=twiml)["sid"]
    (change,) = rest.call("GET", f"{FLOWS}/{sid}/Changes").json["changes"]
    assert change["changes"]["fallback_twiml"]["after"] == twiml[:200] + "…"


def test_a_flow_that_an_older_version_wrote_can_be_changed(rest: Rest) -> None:
    """The same flow in other bytes is no conflict; a flow that differs is."""
    sid = rest.create()["sid"]
    key, client = AccountKeys(ONE).own_flows + sid, rest.store.changes._client
    head, _, record = client.call("GET", key).decode().rpartition(" {")
    assert head
    older = json.dumps(dict(reversed(json.loads("{" + record).items())) | {"paused": False})
    flow = rest.store.flows.get(ONE, sid)
    assert flow
    client.call("SET", key, f"{head} {older}")
    assert rest.call("POST", f"{FLOWS}/{sid}", {"FriendlyName": "new"}).json["friendly_name"] == "new"
    with pytest.raises(FlowChanged):
        rest.store.flows.put(flow, replaces=flow)
    client.call("SET", key, f"{head} {older}")
    rest.store.flows.put_all([(flow, flow)])
    client.call("SET", key, f"{head} {older}")
    assert rest.call("DELETE", f"{FLOWS}/{sid}").status == 204


def test_links_are_on_the_configured_base(rest: Rest) -> None:
    """Links are on the configured public base, whatever host the request names."""
    rest.create(user=THREE)
    reply = rest.call("GET", FLOWS, user=THREE, headers={"Host": "evil.example"})
    assert reply.json["meta"]["url"].startswith(BASE)
    assert reply.json["flex_flows"][0]["url"].startswith(BASE)
