import json
from collections.abc import Mapping
from dataclasses import fields, replace

import pytest
from hypothesis import given
from twilio.rest import Client
from twilio.rest.flex_api.v1.flex_flow import FlexFlowInstance

from router.errors import InvalidFlow
from router.flow.flex_flow import FIELDS, FlexFlow, Integration, address_sid, is_given, value_of
from router.flow.integration_type import INTEGRATION_TYPES
from router.flow.parameter import CHANNEL_TYPES, default_retry_policy
from router.flow.record import from_record, to_record
from router.flow.resource import from_parameters, to_resource
from router.flow.web_chat import WebChat
from tests.core.flows import AC, BASE, FO, HANDLERS, INTEGRATIONS, VALUES, change, flow, forms

LONG = "x" * 257
URL = {"IntegrationType": "external"} | INTEGRATIONS["external"]

# For each parameter: a valid value and how it is saved; and an invalid one, with a part of the reason.
TAKEN = [
    ("FriendlyName", "Süd 🌞", "Süd 🌞"),
    ("ChatServiceSid", "IS" + "Aa" * 16, "IS" + "Aa" * 16),
    ("ChannelType", "rcs", "rcs"),
    ("ContactIdentity", "+1 (555) 123-4567", "+15551234567"),
    ("Enabled", "False", False),
    ("IntegrationType", "conversation", "conversation"),
    ("Integration.FlowSid", "FW" + "2" * 32, "FW" + "2" * 32),
    ("Integration.Url", "http://[::1]:8080/a?b=c", "http://[::1]:8080/a?b=c"),
    ("Integration.SigningKey", " old key , new key ", "old key,new key"),
    ("Integration.ProxyServiceSid", "KS" + "6" * 32, "KS" + "6" * 32),
    ("Integration.Handler", "other", "other"),
    ("Integration.WorkspaceSid", "WS" + "7" * 32, "WS" + "7" * 32),
    ("Integration.WorkflowSid", "WW" + "8" * 32, "WW" + "8" * 32),
    ("Integration.Channel", "chat", "chat"),
    ("Integration.Timeout", "1209600", 1_209_600),
    ("Integration.Priority", "0", 0),
    ("Integration.CreationOnMessage", "TRUE", True),
    ("Integration.TaskAttributes", '{"skill": "é"}', '{"skill": "é"}'),
    ("Integration.TaskPerConversation", "false", False),
    ("Integration.Interaction", '{"properties": {}}', '{"properties": {}}'),
    ("Integration.RetryCount", "20", 20),
    ("Integration.RetryPolicy", "5XX, ct", ("ct", "5xx")),
    ("LongLived", "true", True),
    ("JanitorEnabled", "true", True),
    ("ValidityPeriod", "1", 1),
    ("Language", "PT-br, zh-hant,pt-BR", ("pt-BR", "zh-Hant")),
    ("LanguageChange", "True", True),
    ("LanguageCommands", "true", True),
    ("Match", "body == 'a'\n|| num_media > 0", "body == 'a'\n|| num_media > 0"),
    ("Priority", "7", 7),
    ("Response", "accept", "accept"),
    ("Capture", "never", "never"),
    ("MigrateTo", "FO" + "9" * 32, "FO" + "9" * 32),
    ("MigratePercent", "10", 10),
    ("Paused", "true", True),
    ("FallbackTwiml", "<Response><Message>é</Message></Response>", "<Response><Message>é</Message></Response>"),
    ("TestPage", "false", False),
    ("WebChat.AllowedOrigins", "HTTPS://Shop.example/, http://*.a:8", ("https://shop.example", "http://*.a:8")),
    ("WebChat.RequireIdentity", "true", True),
    ("WebChat.IdentitySecret", "hush", "hush"),
    (
        "WebChat.Form",
        '[{"name": "friendlyName", "label": {"EN": "Name"}, "required": true}]',
        '[{"name":"friendlyName","type":"text","label":{"en":"Name"},"required":true,"options":[],"max":200}]',
    ),
    ("WebChat.Greeting", '{"pt-br": "Olá"}', '{"pt-BR":"Olá"}'),
    ("WebChat.Language", "ES-mx", "es-MX"),
    ("WebChat.StateEvents", "true", True),
]
REFUSED = [
    ("Integration.TaskAttributes", "[1]", "not an object"),
    ("Integration.TaskAttributes", "{x", "is not JSON"),
    ("Integration.TaskAttributes", '{"a": NaN}', "NaN is not a JSON value"),
    ("Integration.TaskAttributes", '{"a": "' + "b" * 2048 + '"}', "at most 2048 characters"),
    ("Integration.TaskPerConversation", "maybe", "neither true nor false"),
    ("Integration.Interaction", '"routing"', "not an object"),
    ("Capture", "sometimes", "auto, always, never"),
    ("MigrateTo", "FW" + "9" * 32, "is not FO"),
    ("MigrateTo", FO, "is the flow itself"),
    ("MigratePercent", "101", "from 0 to 100"),
    ("FriendlyName", LONG, "256"),
    ("FriendlyName", "a\nb", "control"),
    ("FriendlyName", "", "required"),
    ("ChatServiceSid", "CH" + "1" * 32, "IS and 32"),
    ("ChatServiceSid", "", "required"),
    ("ChannelType", "fax", ", ".join(CHANNEL_TYPES)),
    ("ChannelType", "SMS", "not one of"),
    ("ContactIdentity", LONG, "256"),
    ("ContactIdentity", "whatsapp:+1555", "an address of whatsapp, not of sms"),
    ("ContactIdentity", "other:1", "an address of custom"),
    ("ContactIdentity", " ", "empty"),
    ("Enabled", "yes", "neither true nor false"),
    ("IntegrationType", "fax", ", ".join(INTEGRATION_TYPES)),
    ("Integration.FlowSid", "FW1", "FW and 32"),
    ("Integration.Url", "ftp://example.com", "http"),
    ("Integration.Url", "/relative", "absolute"),
    ("Integration.Url", "https://me:pw@example.com", "credentials"),
    ("Integration.Url", "https://example.com/a b", "absolute"),
    ("Integration.Url", "https://example.com:99999/", "absolute"),
    ("Integration.Url", "https://example.com/" + "x" * 2048, "2048"),
    ("Integration.SigningKey", LONG, "256"),
    ("Integration.SigningKey", f"key,{LONG}", "256"),
    ("Integration.SigningKey", "one,two,three", "or two, comma separated"),
    ("Integration.SigningKey", "one,", "or two, comma separated"),
    ("Integration.SigningKey", ",", "or two, comma separated"),
    ("Integration.SigningKey", "same, same", "or two, comma separated"),
    ("Integration.ProxyServiceSid", "IS" + "6" * 32, "KS and 32"),
    ("Integration.Handler", "os:system", "not a handler in the router's settings (echo, orders, other)"),
    ("Integration.WorkspaceSid", "x", "WS and 32"),
    ("Integration.WorkflowSid", "x", "WW and 32"),
    ("Integration.Channel", "x" * 65, "64"),
    ("Integration.Timeout", "0", "1 to 1209600"),
    ("Integration.Timeout", "1209601", "1 to 1209600"),
    ("Integration.Priority", "-1", "0 to 2147483647"),
    ("Integration.CreationOnMessage", "1", "neither"),
    ("Integration.RetryCount", "21", "0 to 20"),
    ("Integration.RetryCount", "٣", "0 to 20"),
    ("Integration.RetryPolicy", "ct,never", "ct, rt, 4xx, 5xx, all"),
    ("Integration.RetryPolicy", ",", "none of"),
    ("LongLived", "no", "neither"),
    ("JanitorEnabled", "no", "neither"),
    ("ValidityPeriod", "1.5", "1 to 1209600"),
    ("Language", "english!", "BCP 47"),
    ("Language", "e", "BCP 47"),
    ("LanguageChange", "clear", "neither true nor false"),
    ("LanguageCommands", "yes", "neither true nor false"),
    ("Match", "x" * 513, "512"),
    ("Match", "a\x00", "control"),
    ("Priority", "first", "integer"),
    ("Response", "reply", "accept, relay, redirect"),
    ("Paused", "2", "neither"),
    ("FallbackTwiml", "<Message/>", "not <Response>"),
    ("FallbackTwiml", "thanks", "well-formed"),
    ("FallbackTwiml", "<!DOCTYPE Response><Response/>", "document type"),
    ("FallbackTwiml", f"<Response>{'x' * 65536}</Response>", "65536 bytes"),
    ("TestPage", "2", "neither"),
    ("WebChat.AllowedOrigins", "shop.example", "not an origin"),
    ("WebChat.AllowedOrigins", "https://shop.example/chat", "not an origin"),
    ("WebChat.AllowedOrigins", "https://a.*.example", "not an origin"),
    ("WebChat.AllowedOrigins", ",".join(f"https://{n}.example" for n in range(51)), "at most 50"),
    ("WebChat.RequireIdentity", "2", "neither"),
    ("WebChat.IdentitySecret", LONG, "256"),
    ("WebChat.Form", "{}", "a list"),
    ("WebChat.Form", "[" * 20_000, "not valid JSON"),
    ("WebChat.Form", '[{"name": "a b"}]', "letters, digits"),
    ("WebChat.Form", '[{"name": "a", "type": "file"}]', "text, email, tel, textarea, select"),
    ("WebChat.Form", '[{"name": "a", "max": 0}]', "1 to 2000"),
    ("WebChat.Form", '[{"name": "a", "style": "x"}]', "no such key: style"),
    ("WebChat.Form", '[{"name": "a", "type": "select"}]', "a select must have options"),
    ("WebChat.Form", '[{"name": "a"}, {"name": "a"}]', "the same name"),
    ("WebChat.Form", "[" + ",".join(f'{{"name": "a{n}"}}' for n in range(21)) + "]", "at most 20"),
    ("WebChat.Greeting", '"Hello"', "an object of texts"),
    ("WebChat.Greeting", '{"english!": "Hello"}', "BCP 47"),
    ("WebChat.Language", "english!", "BCP 47"),
    ("WebChat.StateEvents", "2", "neither"),
]


def _form(wire: str, value: str) -> dict[str, str]:
    """A form in which the parameter has an effect."""
    types, channels = next((each.types, each.channels) for each in FIELDS if each.wire == wire)
    kind = types[0] if types else "external"
    on = {"ChannelType": channels[0]} if channels else {}
    form = {"IntegrationType": kind} | on | INTEGRATIONS[kind] | {wire: value}
    return form | INTEGRATIONS.get(value, {}) if wire == "IntegrationType" else form


@pytest.mark.parametrize(("wire", "text", "value"), TAKEN, ids=[wire for wire, _, _ in TAKEN])
def test_a_valid_value_is_saved(wire: str, text: str, value: object) -> None:
    """Each parameter accepts a valid value and keeps it in its canonical form."""
    attribute = next(each.attribute for each in FIELDS if each.wire == wire)
    assert value_of(flow(_form(wire, text)), attribute) == value


@pytest.mark.parametrize(("wire", "text", "says"), REFUSED)
def test_an_invalid_value_is_refused(wire: str, text: str, says: str) -> None:
    """Each parameter refuses an invalid value; the error names the parameter and what is allowed."""
    with pytest.raises(InvalidFlow) as caught:
        flow(_form(wire, text))
    assert caught.value.parameter == wire
    assert says in caught.value.reason


def test_every_parameter_is_tested() -> None:
    """Every parameter has a valid and an invalid value in the tables above."""
    wires = [each.wire for each in FIELDS]
    assert [wire for wire, _, _ in TAKEN] == wires
    assert {wire for wire, _, _ in REFUSED} == set(wires)
    assert {*VALUES, "ChannelType", "ContactIdentity", "IntegrationType"} | {
        wire for form in INTEGRATIONS.values() for wire in form
    } == set(wires)


def test_the_table_and_the_classes_agree() -> None:
    """Each row of FIELDS is an attribute with the same default, and each attribute has a row."""
    own = {each.name: each for each in fields(FlexFlow)}
    places = {"": own} | {
        name: {each.name: each for each in fields(part)}
        for name, part in (("integration", Integration), ("web_chat", WebChat))
    }
    for each in FIELDS:
        place, _, name = each.attribute.rpartition(".")
        default = places[place].pop(name).default
        assert default == each.default or each.wire in ("ContactIdentity", "IntegrationType") or each.required
        assert each.help
    assert not places["integration"]
    assert not places["web_chat"]
    assert set(own) == {"sid", "account_sid", "integration", "web_chat", "date_created", "date_updated", "extra"}


def test_a_parameter_that_a_type_needs_is_used_by_it() -> None:
    """An integration type uses each parameter that it requires, even if the parameter's `types` omit the type."""
    url = next(each for each in FIELDS if each.wire == "Integration.Url")
    needing = [each.name for each in INTEGRATION_TYPES.values() if "Integration.Url" in each.needs]
    assert replace(url, types=("conversation",)).types == ("conversation", *needing)
    assert replace(url, types=()).types == ()


def test_the_default_retry_policies_are_in_the_help() -> None:
    """The help of RetryPolicy names the right default for every integration type."""
    help_ = next(each.help for each in FIELDS if each.wire == "Integration.RetryPolicy")
    named, _, other = help_.partition("Default ")[2].partition(", else ")
    for name in INTEGRATION_TYPES:
        assert f"`{','.join(default_retry_policy(name))}`" in (named if f"`{name}`" in named else other)


def test_parameters_of_twilio_have_twilios_names() -> None:
    """Twilio's library sends exactly the parameters that FIELDS does not mark as ours."""
    sent: dict[str, object] = {}

    class Recorder:
        def request(self, *_: object, **options: dict[str, object]) -> object:
            sent.update(options["data"])
            raise InterruptedError

    client = Client("AC" + "0" * 32, "token", http_client=Recorder())
    with pytest.raises(InterruptedError):
        client.flex_api.v1.flex_flow.create(
            friendly_name="a",
            chat_service_sid="b",
            channel_type="sms",
            contact_identity="c",
            enabled=True,
            integration_type="studio",
            integration_flow_sid="d",
            integration_url="e",
            integration_workspace_sid="f",
            integration_workflow_sid="g",
            integration_channel="h",
            integration_timeout=1,
            integration_priority=2,
            integration_creation_on_message=True,
            long_lived=True,
            janitor_enabled=True,
            integration_retry_count=3,
        )
    assert set(sent) == {each.wire for each in FIELDS if not each.ours}


@pytest.mark.parametrize("wire", ["FriendlyName", "ChatServiceSid", "ChannelType"])
def test_a_new_flow_needs_twilios_required_parameters(wire: str) -> None:
    """A new flow needs Twilio's three required parameters; a change may omit them."""
    params = {name: value for name, value in BASE.items() if name != wire}
    with pytest.raises(InvalidFlow, match=rf"^{wire}: is required"):
        from_parameters(params, account_sid=AC, current=None, handlers=HANDLERS, now=0, sid=FO)
    assert change(flow(), {"Enabled": "false"}) == replace(flow(), enabled=False, date_updated=1_700_000_500)


@pytest.mark.parametrize(
    ("kind", "wire"), [(kind, wire) for kind, form in INTEGRATIONS.items() for wire in form], ids=str
)
def test_an_integration_type_needs_its_required_parameters(kind: str, wire: str) -> None:
    """An integration without a parameter that its type requires is refused, naming the parameter."""
    form = {name: value for name, value in INTEGRATIONS[kind].items() if name != wire}
    with pytest.raises(InvalidFlow) as caught:
        flow({"IntegrationType": kind} | form)
    assert caught.value.parameter == wire


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        pytest.param({}, "proxy", id="nothing"),
        pytest.param(INTEGRATIONS["studio"], "studio", id="a Studio flow"),
        pytest.param(INTEGRATIONS["external"], "external", id="a URL"),
        pytest.param({**INTEGRATIONS["studio"], **INTEGRATIONS["external"]}, "studio", id="both"),
        pytest.param(INTEGRATIONS["handler"], "proxy", id="a handler, which must be asked for"),
    ],
)
def test_the_default_integration_type(form: Mapping[str, str], kind: str) -> None:
    """Without IntegrationType, a flow is `studio` with a Studio flow, `external` with a URL, else `proxy`."""
    assert flow(form).integration.type == kind


def test_a_change_keeps_the_integration_type_unless_it_brings_a_url() -> None:
    """A change without IntegrationType keeps the type; with a URL the flow becomes `external`."""
    studio = flow(INTEGRATIONS["studio"])
    assert change(studio, {"Integration.RetryCount": "1"}).integration.type == "studio"
    external = change(studio, INTEGRATIONS["external"])
    assert (external.integration.type, external.integration.flow_sid) == ("external", "")


def test_a_parameter_of_another_integration_type_is_ignored() -> None:
    """A parameter of another integration type, or an unknown one, is ignored, as Twilio does."""
    made = flow({"IntegrationType": "proxy", "Integration.Timeout": "5", "Unknown": "1"})
    assert made == flow({"IntegrationType": "proxy"})


def test_an_empty_parameter_is_its_default() -> None:
    """An empty value resets a parameter to its default."""
    paused = flow(Paused="true", Language="en", ContactIdentity="+15551234567", Response="relay")
    back = change(paused, {"Paused": "", "Language": "", "ContactIdentity": "", "Response": ""})
    assert (back.paused, back.language, back.contact_identity, back.response) == (False, (), "*", "accept")


@pytest.mark.parametrize(
    ("kind", "response", "policy"),
    [
        ("proxy", "accept", ("ct", "5xx")),
        ("task", "accept", ("ct", "rt", "5xx")),
        ("conversation", "accept", ("ct", "rt", "5xx")),
        ("studio", "relay", ("ct", "5xx")),
        ("external", "relay", ("ct", "rt", "5xx")),
        ("handler", "relay", ("ct", "rt", "5xx")),
    ],
)
def test_default_response_and_retry_policy_of_each_type(kind: str, response: str, policy: tuple[str, ...]) -> None:
    """Response and RetryPolicy default to those of the integration type, for a new flow and when the type changes."""
    for made in (
        flow({"IntegrationType": kind} | INTEGRATIONS[kind]),
        change(flow(), {"IntegrationType": kind} | INTEGRATIONS[kind]),
    ):
        assert (made.response, made.integration.retry_policy) == (response, policy)


def test_a_chosen_response_or_retry_policy_survives_a_change_of_type() -> None:
    """A Response or RetryPolicy that differs from the type's default stays when the type changes."""
    made = flow({"Integration.RetryPolicy": "all"}, Response="relay")
    changed = change(made, INTEGRATIONS["external"])
    assert change(changed, {"IntegrationType": "proxy"}).integration.retry_policy == ("all",)
    accepting = change(flow(URL), {"Response": "accept"})
    assert change(accepting, INTEGRATIONS["studio"]).response == "accept"


@pytest.mark.parametrize("kind", ["task", "handler", "conversation"])
def test_redirect_needs_a_url(kind: str) -> None:
    """Response=redirect is refused for an integration type without a URL."""
    assert flow(URL, Response="redirect").response == "redirect"
    with pytest.raises(InvalidFlow, match="redirect needs a URL"):
        flow({"IntegrationType": kind} | INTEGRATIONS[kind], Response="redirect")


def test_a_flow_whose_handler_left_the_settings_can_still_be_paused() -> None:
    """A flow whose handler left the settings can be paused; a new flow cannot name that handler."""
    handler = flow({"IntegrationType": "handler", "Integration.Handler": "echo"})
    changed = from_parameters({"Paused": "true"}, account_sid=AC, current=handler, handlers=(), now=1, sid="")
    assert changed.paused
    with pytest.raises(InvalidFlow, match="they have no handlers"):
        from_parameters(
            BASE | {"IntegrationType": "handler", "Integration.Handler": "echo"},
            account_sid=AC,
            current=None,
            handlers=(),
            now=1,
            sid=FO,
        )


@pytest.mark.parametrize(
    ("channel_type", "written", "identity"),
    [
        ("sms", "+1 (555) 123-4567", "+15551234567"),
        ("sms", "12345", "12345"),
        ("whatsapp", "15551234567", "whatsapp:+15551234567"),
        ("whatsapp", "WhatsApp:+15551234567", "whatsapp:+15551234567"),
        ("facebook", "123", "messenger:123"),
        ("rcs", "agent", "rcs:agent"),
        ("line", "U1", "line:U1"),
        ("custom", "shop", "shop"),
        ("web", "whatever:it is", "web:whatever:it is"),
        ("web", "", f"web:IG{FO[2:]}"),
        ("web", "web:*", "*"),
        ("whatsapp", "whatsapp:*", "*"),
        ("facebook", "MG" + "5" * 32, "MG" + "5" * 32),
    ],
)
def test_a_contact_identity_is_kept_in_its_canonical_form(channel_type: str, written: str, identity: str) -> None:
    """A flow's contact identity is stored in the form that messages have in `To`."""
    assert flow(ChannelType=channel_type, ContactIdentity=written).contact_identity == identity


@given(forms())
def test_a_record_reads_back(form: dict[str, str]) -> None:
    """A stored record reads back as the same flow, and writing that flow gives the same record."""
    made = flow(form)
    record = to_record(made)
    named = made.account_sid, made.sid
    assert from_record(record, *named) == made
    assert to_record(from_record(record, *named)) == record
    assert from_record(to_record(made, made.target), *named, made.target) == made
    for created, updated in ((1, 0), (0, 1), (1, 2)):
        dated = replace(made, date_created=created, date_updated=updated)
        assert from_record(to_record(dated), *named) == dated
    assert from_record(to_record(replace(made, extra={"type": "webhook"})), *named).extra == {"type": "webhook"}


@pytest.mark.parametrize("kind", INTEGRATIONS)
def test_a_usual_record_is_small(kind: str) -> None:
    """A typical flow's record takes at most 283 bytes, as it omits defaults and what its key says."""
    made = flow({"IntegrationType": kind} | INTEGRATIONS[kind], ContactIdentity="+15551234567")
    assert len(to_record(made, made.target).encode()) <= 283


def test_the_record_has_the_fields_that_the_stores_script_reads() -> None:
    """The record has the fields by which the store's script recognizes an address's default flow."""
    record = json.loads(to_record(flow(Enabled="false", Language="en", Match="true")))
    assert (record["enabled"], record["language"], record["match"]) == (False, ["en"], "true")
    assert not {"enabled", "language", "match"} & set(json.loads(to_record(flow())))
    assert json.loads(to_record(flow()))["channel"] == "sms"


@given(forms())
def test_a_resource_can_be_posted_back(form: dict[str, str]) -> None:
    """A flow's JSON sent back as a form changes nothing, and it shows no secret."""
    made = flow(form)
    resource = to_resource(made, "https://router.example")
    shown = resource | {
        f"{place}.{name}": value
        for place in ("integration", "web_chat")
        for name, value in resource.get(place, {}).items()
    }
    params = {each.wire: _written(shown[each.key]) for each in FIELDS if each.key in shown}
    assert change(made, params) == replace(made, date_updated=1_700_000_500)
    assert "signing_key" not in resource["integration"]
    assert "identity_secret" not in resource.get("web_chat", {})
    json.dumps(resource)


def _written(value: object) -> str:
    if value is None:
        return ""
    return ",".join(value) if isinstance(value, list) else str(value)


def test_the_official_library_reads_the_resource() -> None:
    """Twilio's library reads the JSON's keys, dates and shapes."""
    resource = to_resource(flow(INTEGRATIONS["studio"]), "https://router.example")
    read = FlexFlowInstance(Client("AC" + "0" * 32, "token").flex_api.v1, resource)
    assert (read.sid, read.account_sid, read.enabled, read.channel_type) == (FO, AC, True, "sms")
    assert read.integration == {"flow_sid": "FW" + "2" * 32, "retry_count": 3, "retry_policy": ["ct", "5xx"]}
    assert read.date_created is not None
    assert read.date_created.isoformat() == "2023-11-14T22:13:20+00:00"
    assert read.url == f"https://router.example/v1/FlexFlows/{FO}"


@pytest.mark.parametrize(
    ("form", "target"),
    [
        (INTEGRATIONS["external"], "https://example.com"),
        ({"Integration.Url": "HTTPS://Example.COM:8443/a"}, "https://example.com:8443"),
        ({"Integration.Url": "http://[2001:db8::1]:80/"}, "http://[2001:db8::1]"),
        ({"IntegrationType": "handler", "Integration.Handler": "echo"}, "handler:echo"),
        ({}, "proxy"),
        (INTEGRATIONS["studio"], "studio"),
    ],
)
def test_a_target_is_named_by_its_origin(form: Mapping[str, str], target: str) -> None:
    """Flows that send to the same origin or handler have the same target name, which has no space."""
    assert flow(form).target == target


def test_a_flow_and_its_address_have_the_same_hexadecimal_digits() -> None:
    """The SIDs of a flow and of its address configuration have the same hexadecimal digits."""
    assert address_sid(flow()) == "IG" + FO[2:]


def test_secrets_are_not_in_the_repr() -> None:
    """A flow's repr, which may reach a log, does not show the signing key."""
    assert "hush" not in repr(flow(URL | {"Integration.SigningKey": "hush"}))
    assert is_given(flow(URL | {"Integration.SigningKey": "hush"}), next(f for f in FIELDS if f.write_only))
