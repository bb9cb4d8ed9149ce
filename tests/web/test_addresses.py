"""`/v1/Configuration/Addresses`: the same records as Flex Flows, by their other face."""

from urllib.parse import quote

import pytest

from tests.web.rest import BASE, FW, IS, KS, ONE, Rest

ADDRESSES = "/v1/Configuration/Addresses"
FLOWS = "/v1/FlexFlows"
EVERY = [
    ("sms", "+15550000001", "sms"),
    ("whatsapp", "whatsapp:+15550000001", "whatsapp"),
    ("messenger", "messenger:123", "facebook"),
    ("rcs", "rcs:agent", "rcs"),
    ("chat", "support", "web"),
    ("gbm", "gbm:brands/1", "custom"),
    ("email", "support@example.com", "custom"),
    ("apple", "urn-like-id", "custom"),
]


def create(rest: Rest, **form: str) -> dict[str, object]:
    """Configure an address; a name in `form` has `__` for its dot."""
    given = {"Type": "sms", "Address": "+15550000001"} | {name.replace("__", "."): text for name, text in form.items()}
    reply = rest.call("POST", ADDRESSES, given)
    assert reply.status == 201, reply.json
    created: dict[str, object] = reply.json
    return created


def test_an_address_is_shown_as_twilio_shows_it(rest: Rest) -> None:
    """Every property of Twilio's; of `auto_creation` the keys of its type."""
    created = create(
        rest,
        FriendlyName="Office",
        AddressCountry="us",
        AutoCreation__Enabled="true",
        AutoCreation__Type="studio",
        AutoCreation__ConversationServiceSid=IS,
        AutoCreation__StudioFlowSid=FW,
        AutoCreation__StudioRetryCount="2",
    )
    sid, date = created["sid"], created["date_created"]
    assert created == {
        "sid": sid,
        "account_sid": ONE,
        "type": "sms",
        "address": "+15550000001",
        "friendly_name": "Office",
        "address_country": "US",
        "auto_creation": {
            "enabled": True,
            "type": "studio",
            "conversation_service_sid": IS,
            "studio_flow_sid": FW,
            "studio_retry_count": 2,
        },
        "date_created": date,
        "date_updated": date,
        "url": f"{BASE}{ADDRESSES}/{sid}",
    }
    assert rest.call("GET", ADDRESSES).json["address_configurations"] == [created]


def test_an_address_and_a_flow_are_one_record(rest: Rest) -> None:
    """IG<hex> and FO<hex> are the same thing: what one face makes, changes or removes is so on the other."""
    sid = str(
        create(rest, AutoCreation__Enabled="True", AutoCreation__Type="studio", AutoCreation__StudioFlowSid=FW)["sid"]
    )
    flow = f"{FLOWS}/FO{sid[2:]}"
    shown = rest.call("GET", flow).json
    assert (shown["channel_type"], shown["contact_identity"]) == ("sms", "+15550000001")
    assert (shown["integration_type"], shown["integration"]["flow_sid"], shown["enabled"]) == ("studio", FW, True)
    rest.call("POST", flow, {"FriendlyName": "Renamed", "Enabled": "false"})
    address = rest.call("GET", f"{ADDRESSES}/{sid}").json
    assert (address["friendly_name"], address["auto_creation"]["enabled"]) == ("Renamed", False)
    assert rest.call("DELETE", flow).status == 204
    assert rest.call("GET", f"{ADDRESSES}/{sid}").error[:2] == (404, 20404)


@pytest.mark.parametrize(("type_", "address", "channel_type"), EVERY)
def test_every_type_has_its_channel(rest: Rest, type_: str, address: str, channel_type: str) -> None:
    """Twilio's types come back as they went in, also those that are custom channels for a flow."""
    created = create(rest, Type=type_, Address=address)
    assert (created["type"], created["address"]) == (type_, address)
    assert rest.call("GET", f"{FLOWS}/FO{str(created['sid'])[2:]}").json["channel_type"] == channel_type
    assert rest.listed(f"{ADDRESSES}?Type={type_}") == [created["sid"]]
    assert rest.listed(f"{ADDRESSES}?Type={'email' if type_ == 'gbm' else 'gbm'}") == []
    found = rest.call("GET", f"{ADDRESSES}/{quote(address, safe='')}")
    assert found.json == created


@pytest.mark.parametrize("written", ["whatsapp:+15550000001", "whatsapp%3A%2B15550000001", "WhatsApp:15550000001"])
def test_an_address_is_found_however_it_is_written(rest: Rest, written: str) -> None:
    """The address may stand for the SID in fetch, update and delete, percent-encoded or in another form."""
    created = create(rest, Type="whatsapp", Address="whatsapp:+1 555 000 0001")
    assert rest.call("GET", f"{ADDRESSES}/{written}").json == created
    assert rest.call("POST", f"{ADDRESSES}/{written}", {"FriendlyName": "x"}).json["friendly_name"] == "x"
    assert rest.call("DELETE", f"{ADDRESSES}/{written}").status == 204
    assert rest.call("DELETE", f"{ADDRESSES}/{written}").error[:2] == (404, 20404)


def test_nothing_is_captured_until_it_is_enabled(rest: Rest) -> None:
    """An address without AutoCreation.Enabled is disabled: its messages go where they went before."""
    created = create(rest)
    assert created["auto_creation"] == {"enabled": False, "type": "default", "conversation_service_sid": None}
    enabled = rest.call("POST", f"{ADDRESSES}/{created['sid']}", {"AutoCreation.Enabled": "TRUE"}).json
    assert enabled["auto_creation"]["enabled"] is True


def test_what_a_flow_cannot_say_is_kept(rest: Rest) -> None:
    """Method, filters, country, type survive a change of the flow; all else of a flow survives one of the address."""
    form = {
        "Type": "email",
        "Address": "support@example.com",
        "AddressCountry": "DE",
        "AutoCreation.Type": "webhook",
        "AutoCreation.WebhookUrl": "https://example.com/in",
        "AutoCreation.WebhookMethod": "get",
        "AutoCreation.WebhookFilters": ["onMessageAdded", "onParticipantAdded"],
    }
    created = rest.call("POST", ADDRESSES, form).json
    webhook = {
        "enabled": False,
        "type": "webhook",
        "conversation_service_sid": None,
        "webhook_url": "https://example.com/in",
        "webhook_method": "GET",
        "webhook_filters": ["onMessageAdded", "onParticipantAdded"],
    }
    assert created["auto_creation"] == webhook
    flow = f"{FLOWS}/FO{created['sid'][2:]}"
    rest.call("POST", flow, {"Paused": "true", "ValidityPeriod": "60", "Integration.SigningKey": "key"})
    kept = rest.call("GET", f"{ADDRESSES}/{created['sid']}").json
    assert (kept["auto_creation"], kept["type"], kept["address_country"]) == (webhook, "email", "DE")
    changed = rest.call(
        "POST",
        f"{ADDRESSES}/{created['sid']}",
        {"FriendlyName": "Mail", "AutoCreation.WebhookFilters": "onMessageRemoved"},
    ).json
    assert changed["auto_creation"] == webhook | {"webhook_filters": ["onMessageRemoved"]}
    shown = rest.call("GET", flow).json
    assert (shown["paused"], shown["validity_period"], shown["friendly_name"]) == (True, 60, "Mail")
    stored = rest.store.flows.get(ONE, shown["sid"])
    assert stored
    assert stored.integration.signing_key == "key"


def test_a_flow_of_ours_stays_what_it_is(rest: Rest) -> None:
    """`default` is how a proxy flow is shown; writing that back does not make it something else."""
    flow = rest.create(IntegrationType="proxy", Integration__ProxyServiceSid=KS)
    path = f"{ADDRESSES}/IG{flow['sid'][2:]}"
    assert rest.call("GET", path).json["auto_creation"]["type"] == "default"
    rest.call("POST", path, {"AutoCreation.Type": "default", "FriendlyName": "x"})
    shown = rest.call("GET", f"{FLOWS}/{flow['sid']}").json
    assert (shown["integration_type"], shown["integration"]["proxy_service_sid"]) == ("proxy", KS)
    webhook = {"AutoCreation.Type": "webhook", "AutoCreation.WebhookUrl": "https://example.com"}
    assert rest.call("POST", path, webhook).json["auto_creation"]["type"] == "webhook"
    assert rest.call("POST", path, {"AutoCreation.Type": "default"}).json["auto_creation"]["type"] == "default"
    assert rest.call("GET", f"{FLOWS}/{flow['sid']}").json["integration_type"] == "conversation"


def test_only_default_flows_have_this_face(rest: Rest) -> None:
    """A flow for a language is not an address; its address shows the default flow, the enabled one of several."""
    french = rest.create(Language="fr")
    rest.create(Enabled="false")
    default = rest.create()
    rest.create(Enabled="false")
    assert rest.call("GET", f"{ADDRESSES}/IG{french['sid'][2:]}").error[:2] == (404, 20404)
    assert f"IG{french['sid'][2:]}" not in rest.listed(ADDRESSES)
    assert rest.call("GET", f"{ADDRESSES}/+15550000001").json["sid"] == f"IG{default['sid'][2:]}"


def test_an_address_is_configured_once(rest: Rest) -> None:
    """A second configuration is 409 and 20409, though the first is disabled; nothing is written."""
    created = create(rest)
    before = rest.written()
    form = {"Type": "sms", "Address": "+1 555 000 0001"}
    status, code, message = rest.call("POST", ADDRESSES, form).error
    assert (status, code) == (409, 20409)
    assert message.startswith("Address: ")
    assert rest.written() == before
    rest.create(Enabled="true")
    update = rest.call("POST", f"{ADDRESSES}/{created['sid']}", {"AutoCreation.Enabled": "true"})
    assert update.error[:2] == (409, 20409)


def test_pages_hold_fifty(rest: Rest) -> None:
    """A larger PageSize is read as 50: the official libraries ask for as many as the caller wants in all."""
    sids = ["IG" + rest.create(number)["sid"][2:] for number in range(51)][::-1]
    pages = list(rest.pages(f"{ADDRESSES}?PageSize=1000&Type=sms"))
    assert [page["meta"]["page_size"] for page in pages] == [50, 50]
    assert [each["sid"] for page in pages for each in page["address_configurations"]] == sids
    second = rest.call("GET", pages[1]["meta"]["previous_page_url"]).json
    assert second["address_configurations"] == pages[0]["address_configurations"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("Type", None, "is required"),
        ("Type", "fax", "sms, whatsapp, messenger"),
        ("Address", None, "is required"),
        ("Address", "whatsapp:+15550000001", "of whatsapp, not of sms"),
        ("Address", "+" + "1" * 257, "256"),
        ("FriendlyName", "x" * 257, "256"),
        ("AddressCountry", "USA", "alpha-2"),
        ("AutoCreation.Enabled", "maybe", "neither true nor false"),
        ("AutoCreation.Type", "flow", "webhook, studio, default"),
        ("AutoCreation.ConversationServiceSid", "CH" + "1" * 32, "IS"),
        ("AutoCreation.WebhookUrl", "nowhere", "absolute"),
        ("AutoCreation.WebhookMethod", "put", "get, post"),
        ("AutoCreation.WebhookFilters", "onSomething", "onMessageAdded"),
        ("AutoCreation.StudioFlowSid", "FW1", "FW"),
        ("AutoCreation.StudioRetryCount", "many", "integer"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name_here(rest: Rest, name: str, value: str | None, says: str) -> None:
    """400 and 20001 in the words of this resource, and nothing is written."""
    form = {"Type": "sms", "Address": "+15550000001", name: value}
    status, code, message = rest.call("POST", ADDRESSES, {key: text for key, text in form.items() if text}).error
    assert (status, code) == (400, 20001)
    assert message.startswith(f"{name}: ")
    assert says in message
    assert rest.written() == {}


@pytest.mark.parametrize(("type_", "needs"), [("webhook", "WebhookUrl"), ("studio", "StudioFlowSid")])
def test_a_type_needs_its_target(rest: Rest, type_: str, needs: str) -> None:
    """What is missing is called as it is called here."""
    form = {"Type": "sms", "Address": "+15550000001", "AutoCreation.Type": type_}
    assert rest.call("POST", ADDRESSES, form).error == (
        400,
        20001,
        f"AutoCreation.{needs}: is required when AutoCreation.Type is {type_}",
    )


def test_a_type_that_nobody_has_is_no_filter(rest: Rest) -> None:
    """A list of an unknown type is 400, not all addresses."""
    assert rest.call("GET", f"{ADDRESSES}?Type=fax").error[:2] == (400, 20001)


@pytest.mark.parametrize(
    "name", ["IG" + "1" * 32, "IG1", "FO" + "1" * 32, "+15559999999", "whatsapp:", "a/b", "%7B5%7D"]
)
def test_what_is_not_there_is_404(rest: Rest, name: str) -> None:
    """A SID or an address that does not exist."""
    for method in ("GET", "POST", "DELETE"):
        assert rest.call(method, f"{ADDRESSES}/{name}").error[:2] == (404, 20404)
