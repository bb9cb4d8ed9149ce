"""`/v1/FlexFlows` without a server: what it accepts, refuses and stores."""

import re
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.datastructures import Headers

from router.app import FORM_MOST
from router.flow.resource import from_parameters
from router.language.detector import needed
from router.settings import Settings
from router.sid import new_sid
from router.store.flow_write import ADDRESS_MOST, STEPS_MOST
from router.store.processes import Process, Served
from tests.web.rest import BASE, FW, IS, KS, ONE, TOKENS, TWO, WS, WW, Rest, flow_form

FLOWS = "/v1/FlexFlows"


# -- the resource -----------------------------------------------------------------------------------------------------


def test_a_flow_is_shown_as_twilio_shows_it(rest: Rest) -> None:
    """A flow's JSON has all of Twilio's properties in Twilio's form, ours, and a URL on the public base."""
    created = rest.create(IntegrationType="studio", Integration__FlowSid=FW, Enabled="True")
    assert created.pop("warnings") == []
    sid, date = created["sid"], created["date_created"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date)
    assert created == {
        "sid": sid,
        "account_sid": ONE,
        "friendly_name": "Flow 1",
        "chat_service_sid": IS,
        "channel_type": "sms",
        "contact_identity": "+15550000001",
        "enabled": True,
        "integration_type": "studio",
        "integration": {"flow_sid": FW, "retry_count": 3, "retry_policy": ["ct", "5xx"]},
        "long_lived": False,
        "janitor_enabled": False,
        "date_created": date,
        "date_updated": date,
        "url": f"{BASE}/v1/FlexFlows/{sid}",
        "validity_period": 14400,
        "language": [],
        "language_change": False,
        "language_commands": False,
        "match": None,
        "priority": 0,
        "response": "relay",
        "capture": "auto",
        "migrate_to": None,
        "migrate_percent": 0,
        "paused": False,
        "fallback_twiml": None,
    }
    assert rest.call("GET", f"{FLOWS}/{sid}").json == created
    assert rest.call("GET", FLOWS).json["flex_flows"] == [created]


EVERY = {
    "studio": {"Integration.FlowSid": FW, "Integration.RetryCount": "1"},
    "external": {"Integration.Url": "https://example.com/in", "Integration.RetryPolicy": "all"},
    "task": {
        "Integration.WorkspaceSid": WS,
        "Integration.WorkflowSid": WW,
        "Integration.Channel": "chat",
        "Integration.Timeout": "60",
        "Integration.Priority": "5",
        "Integration.CreationOnMessage": "TRUE",
    },
    "proxy": {"Integration.ProxyServiceSid": KS},
    "handler": {"Integration.Handler": "one"},
    "conversation": {},
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_integration_keeps_its_parameters(rest: Rest, kind: str) -> None:
    """The Integration.* parameters of each type are returned in `integration`, in snake case and with their type."""
    reply = rest.call("POST", FLOWS, flow_form() | EVERY[kind] | {"IntegrationType": kind})
    assert reply.status == 201, reply.json
    integration = reply.json["integration"]
    for name, text in EVERY[kind].items():
        key = "".join(f"_{c.lower()}" if c.isupper() else c for c in name.partition(".")[2]).lstrip("_")
        assert str(integration[key]).lower() in (text.lower(), f"['{text}']"), key


def test_an_update_changes_what_is_given_and_nothing_else(rest: Rest) -> None:
    """An update changes only the given parameters; booleans may be in any case, unknown parameters are ignored."""
    before = rest.create(IntegrationType="studio", Integration__FlowSid=FW, LongLived="TRUE")
    reply = rest.call(
        "POST", f"{FLOWS}/{before['sid']}", {"Enabled": "fAlSe", "Integration.RetryCount": "0", "Colour": "red"}
    )
    assert reply.status == 200
    integration = before["integration"] | {"retry_count": 0}
    expected = before | {"enabled": False, "integration": integration, "date_updated": reply.json["date_updated"]}
    assert reply.json == expected
    assert rest.call("GET", f"{FLOWS}/{before['sid']}").json | {"warnings": []} == expected


def test_a_match_that_cannot_work_is_refused_with_the_place(rest: Rest) -> None:
    """An invalid Match is 400 with its column, also in a branch that is skipped; nothing is written."""
    params = {"FriendlyName": "A", "ChatServiceSid": IS, "ChannelType": "sms"}
    match = 'channel == "rcs" && now.getHours("Mars/Olympus") > 8'
    status, code, message = rest.call("POST", FLOWS, params | {"Match": match}).error
    assert (status, code) == (400, 45210)
    assert message.startswith("Match: column 34: there is no time zone 'Mars/Olympus'")
    assert rest.listed(FLOWS) == []


def test_a_write_warns_while_a_process_has_not_loaded_the_language(rest: Rest) -> None:
    """A write warns how many processes read the flow's language already, until all do."""
    serves = Served.of(Settings.model_validate({"accounts": [{"sid": ONE, "auth_tokens": ["a"]}]}))
    some, all_ = (tuple(sorted(needed(tags))) for tags in (("es",), ("es", "uk")))
    one, other = (Process("m", "host", 1, pid, "127.0.0.1:8000", some, serves.name()) for pid in (1, 2))
    for process in (one, other):
        rest.store.processes.announce(process, None, serves)
    said = "Texts in uk are read by 1 of 2 processes so far; the others load the languages by themselves"
    rest.store.processes.announce(replace(one, languages=all_), one, serves)
    created = rest.create(Language="uk", Integration__Url="https://a.example/")
    assert said in created["warnings"]
    rest.store.processes.announce(replace(other, languages=all_), other, serves)
    written = rest.call("POST", f"{FLOWS}/{created['sid']}", {"FriendlyName": "C"}).json
    assert said not in written["warnings"]


def test_a_write_warns_of_flows_that_take_no_message_now(rest: Rest) -> None:
    """A write that leaves a flow without messages is saved with a warning that names the flow which takes them."""
    ours, menu = "+15550000009", 'body.lowerAscii() == "menu"'
    there: Any = {"ContactIdentity": ours, "Match": menu, "Integration__Url": "https://a.example/"}
    first = rest.create(FriendlyName="A", **there)
    second = rest.create(FriendlyName="B", Priority="1", **there)
    assert first["warnings"] == []
    said = (
        f"'B' ({second['sid']}) takes no message: 'A' ({first['sid']}) takes them first. Change its Match or Priority"
    )
    assert second["warnings"] == [said]
    path = f"{FLOWS}/{first['sid']}"
    assert rest.call("POST", path, {"FriendlyName": "C"}).json["warnings"] == [said.replace("'A'", "'C'")]
    assert rest.call("POST", path, {"Match": 'body == ""'}).json["warnings"] == []
    assert "warnings" not in rest.call("GET", path).json


def test_a_flow_is_deleted_once(rest: Rest) -> None:
    """A deleted flow is 404 and not listed; deleting it again is 404."""
    sid = rest.create()["sid"]
    assert rest.call("DELETE", f"{FLOWS}/{sid}").status == 204
    for method in ("DELETE", "GET", "POST"):
        assert rest.call(method, f"{FLOWS}/{sid}").error[:2] == (404, 20404)
    assert rest.listed(FLOWS) == []


# -- bad input --------------------------------------------------------------------------------------------------------

REFUSED = [
    ("FriendlyName", None, "is required"),
    ("ChatServiceSid", None, "is required"),
    ("ChannelType", None, "is required"),
    ("FriendlyName", "x" * 257, "256"),
    ("ChatServiceSid", "IS123", "32 hexadecimal digits"),
    ("ChatServiceSid", "CH" + "1" * 32, "IS"),
    ("ChannelType", "fax", "web, sms, whatsapp, facebook"),
    ("ContactIdentity", "whatsapp:+15550000001", "not of sms"),
    ("Enabled", "maybe", "neither true nor false"),
    ("IntegrationType", "fax", "studio, external, task"),
    ("IntegrationType", "studio", "Integration.FlowSid: is required"),
    ("IntegrationType", "external", "Integration.Url: is required"),
    ("IntegrationType", "task", "Integration.WorkspaceSid: is required"),
    ("Integration.FlowSid", "FO" + "1" * 32, "FW"),
    ("Integration.Url", "example.com/in", "absolute"),
    ("Integration.Handler", "os:system", "not a handler"),
    ("Integration.RetryCount", "21", "0 to 20"),
    ("Integration.RetryCount", "three", "integer"),
    ("Integration.Timeout", "0", "1 to 1209600"),
    ("ValidityPeriod", "-1", "1 to"),
    ("Priority", "1e3", "integer"),
    ("Language", "klingon!", "BCP 47"),
    ("Response", "shout", "accept, relay, redirect"),
    ("FallbackTwiml", "hello", "XML"),
]


def _form(name: str, value: str | None) -> dict[str, str]:
    form = flow_form() | ({"IntegrationType": "handler"} if name == "Integration.Handler" else {})
    return {wire: text for wire, text in (form | {name: value}).items() if text is not None}


@pytest.mark.parametrize(("name", "value", "says"), REFUSED)
def test_an_invalid_parameter_is_refused_by_its_name(rest: Rest, name: str, value: str | None, says: str) -> None:
    """An invalid parameter is 400 (45210) with its name and what is allowed; create and update write nothing."""
    status, code, message = rest.call("POST", FLOWS, _form(name, value)).error
    assert (status, code) == (400, 45210)
    assert says in message
    assert message.startswith((f"{name}: ", "Integration."))
    assert rest.written() == {}
    if value is not None:
        sid = rest.create(IntegrationType="external", Integration__Url="https://example.com")["sid"]
        before = rest.written()
        clear = {"Integration.Url": ""} if (name, value) == ("IntegrationType", "external") else {}
        reply = rest.call("POST", f"{FLOWS}/{sid}", {name: value} | clear | _form(name, value))
        assert reply.error[:2] == (400, 45210)
        assert rest.written() == before


def test_a_handler_is_refused_to_the_other_accounts(rest: Rest) -> None:
    """A handler that is listed for one account is refused for another, whose error does not name it."""
    form = flow_form(IntegrationType="handler", Integration__Handler="one")
    assert rest.call("POST", FLOWS, form).status == 201
    refused = rest.call("POST", FLOWS, form, user=TWO)
    assert refused.error[:2] == (400, 45210)
    assert "(echo, everyone)" in refused.error[2]


def test_one_default_for_a_channel_and_address(rest: Rest) -> None:
    """A second enabled default flow of an address is 409 (45212); other flows may share the address."""
    first = rest.create()
    before = rest.written()
    status, code, message = rest.call("POST", FLOWS, flow_form()).error
    assert (status, code) == (409, 45212)
    assert first["sid"] in message
    assert message.startswith("ContactIdentity: ")
    assert rest.written() == before
    rest.create(ChannelType="whatsapp", ContactIdentity="whatsapp:+15550000001")
    rest.create(Language="fr")
    second = rest.create(Enabled="false")
    other = rest.create(2)
    for sid, form in (
        (second["sid"], {"Enabled": "true"}),
        (other["sid"], {"ContactIdentity": "+1 (555) 000-0001"}),
    ):
        assert rest.call("POST", f"{FLOWS}/{sid}", form).error[:2] == (409, 45212)
    assert rest.call("POST", f"{FLOWS}/{first['sid']}", {"Enabled": "false"}).status == 200
    assert rest.call("POST", f"{FLOWS}/{second['sid']}", {"Enabled": "true"}).status == 200


def test_an_address_has_at_most_address_most_flows(rest: Rest) -> None:
    """A flow beyond ADDRESS_MOST at one address is 400, because routing reads all of them."""
    flows = [
        _made(number, ContactIdentity="+15550000001", Priority=str(number), Language="fr")
        for number in range(ADDRESS_MOST)
    ]
    rest.store.flows.put_all([(flow, None) for flow in flows])
    status, code, message = rest.call("POST", FLOWS, flow_form(Language="de")).error
    assert (status, code) == (400, 45210)
    assert str(ADDRESS_MOST) in message
    assert rest.call("POST", f"{FLOWS}/{flows[0].sid}", {"Language": "de"}).status == 200


def test_the_conditions_of_an_address_have_a_budget(rest: Rest) -> None:
    """A Match that exceeds the budget of its address is 400 with the figures; at another address it is accepted."""
    slow = 'body.matches("(?i)[a-f]{130}x")'
    flows = [_made(number, ContactIdentity="+15550000001", Match=slow) for number in range(27)]
    rest.store.flows.put_all([(flow, None) for flow in flows])
    form = flow_form(ContactIdentity="+15550000001", Match=slow)
    status, code, message = rest.call("POST", FLOWS, form).error
    assert (status, code) == (400, 45210)
    assert f"{STEPS_MOST:,}" in message
    assert rest.call("POST", FLOWS, form | {"ContactIdentity": "+15550000002"}).status == 201


def _made(number: int, **more: str) -> Any:
    return from_parameters(
        flow_form(number) | more, account_sid=ONE, current=None, handlers=(), now=number, sid=new_sid("FO")
    )


@pytest.mark.parametrize("sid", ["FO1", "FO" + "g" * 32, "IG" + "1" * 32, "FO" + "1" * 32, "..", "%00"])
def test_an_unknown_flow_is_404(rest: Rest, sid: str) -> None:
    """A SID that is unknown or malformed is 404."""
    for method in ("GET", "POST", "DELETE"):
        assert rest.call(method, f"{FLOWS}/{sid}").error[:2] == (404, 20404)


def test_other_methods_are_405(rest: Rest) -> None:
    """A method that Twilio does not have is 405 (20004) with Allow; an unknown path is 404."""
    sid = rest.create()["sid"]
    for method, path in (("PUT", FLOWS), ("DELETE", FLOWS), ("PATCH", f"{FLOWS}/{sid}")):
        refused = rest.call(method, path)
        assert refused.error[:2] == (405, 20004)
        assert "POST" in refused.headers["Allow"]
    for path in ("/v1/FlexFlow", f"{FLOWS}/"):
        assert rest.call("GET", path).error == (404, 20404, f"The requested resource {path} was not found")


def test_a_form_has_a_limit(rest: Rest) -> None:
    """The longest FallbackTwiml is accepted; a form of over 512 KiB, also in chunks, is 413 and not read to its end."""
    twiml = f"<Response><Message>{'é' * 32_000}</Message></Response>"
    assert rest.create(FallbackTwiml=twiml)["fallback_twiml"] == twiml
    assert rest.call("POST", FLOWS, flow_form(Colour="x" * 2**20)).error[:2] == (413, 20413)
    body = BytesIO(urlencode(flow_form(2, Colour="x" * 2**20)).encode())
    form = Headers({"Content-Type": "application/x-www-form-urlencoded", "Transfer-Encoding": "chunked"})
    chunked = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    reply = rest.app.test_client().post(FLOWS, headers=form, auth=(ONE, TOKENS[ONE]), environ_overrides=chunked)
    assert (reply.status_code, body.tell()) == (413, FORM_MOST)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_another_body_than_a_form_is_415(rest: Rest, content_type: str) -> None:
    """A body that is not a form is 415; an empty body and multipart forms are accepted."""
    sid = rest.create()["sid"]
    for path in (f"{FLOWS}/{sid}", FLOWS, f"/v1/Configuration/Addresses/IG{sid[2:]}", "/v1/Routes"):
        reply = rest.call("POST", path, '{"FriendlyName": "x"}', headers={"Content-Type": content_type})
        assert reply.error[:2] == (415, 20001)
        assert "application/x-www-form-urlencoded" in reply.error[2]
    assert rest.call("POST", f"{FLOWS}/{sid}").status == 200  # no body: nothing to change
    form = rest.call("POST", f"{FLOWS}/{sid}", {"FriendlyName": "y"}, headers={"Content-Type": "multipart/form-data"})
    assert (form.status, form.json["friendly_name"]) == (200, "y")


def test_a_parameter_has_one_value(rest: Rest) -> None:
    """A parameter given twice with different values is 400; the same value twice is accepted."""
    sid = rest.create()["sid"]
    for path, name, code in ((f"{FLOWS}/{sid}", "FriendlyName", 45210), (FLOWS, "ChatServiceSid", 45210)):
        twice = {name: ["a", "b"]}
        assert rest.call("POST", path, twice).error == (400, code, f"{name}: is given 2 times, with different values")
    twice = {"AutoCreation.Enabled": ["true", "false"]}
    refused = rest.call("POST", f"/v1/Configuration/Addresses/IG{sid[2:]}", twice)
    assert refused.error == (400, 20001, "AutoCreation.Enabled: is given 2 times, with different values")
    same = {"FriendlyName": ["z", "z"], "Colour": ["red", "blue"]}
    assert rest.call("POST", f"{FLOWS}/{sid}", same).json["friendly_name"] == "z"


@pytest.mark.parametrize(
    "body", ["&&&==", "FriendlyName=%00", "FriendlyName=%ff%fe&ChatServiceSid", '{"FriendlyName": "x"}']
)
def test_a_malformed_form_is_400(rest: Rest, body: str) -> None:
    """A malformed form is 400 and writes nothing."""
    reply = rest.call("POST", FLOWS, body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.error[:2] == (400, 45210)
    assert rest.written() == {}
