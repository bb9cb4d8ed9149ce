"""`/v1/Configuration/Addresses` shows the same records as Flex Flows, as address configurations."""

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
    """An address configuration has all of Twilio's properties, and in `auto_creation` those of its type."""
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
    """IG<hex> and FO<hex> are one record: a change or removal of one is a change or removal of the other."""
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
    """Each of Twilio's types has a channel, is returned unchanged, and can be filtered by."""
    created = create(rest, Type=type_, Address=address)
    assert (created["type"], created["address"]) == (type_, address)
    assert rest.call("GET", f"{FLOWS}/FO{str(created['sid'])[2:]}").json["channel_type"] == channel_type
    assert rest.listed(f"{ADDRESSES}?Type={type_}") == [created["sid"]]
    assert rest.listed(f"{ADDRESSES}?Type={'email' if type_ == 'gbm' else 'gbm'}") == []
    found = rest.call("GET", f"{ADDRESSES}/{quote(address, safe='')}")
    assert found.json == created


@pytest.mark.parametrize("written", ["whatsapp:+15550000001", "whatsapp%3A%2B15550000001", "WhatsApp:15550000001"])
def test_an_address_is_found_however_it_is_written(rest: Rest, written: str) -> None:
    """Fetch, update and delete accept the address in place of the SID, percent-encoded or in another spelling."""
    created = create(rest, Type="whatsapp", Address="whatsapp:+1 555 000 0001")
    assert rest.call("GET", f"{ADDRESSES}/{written}").json == created
    assert rest.call("POST", f"{ADDRESSES}/{written}", {"FriendlyName": "x"}).json["friendly_name"] == "x"
    assert rest.call("DELETE", f"{ADDRESSES}/{written}").status == 204
    assert rest.call("DELETE", f"{ADDRESSES}/{written}").error[:2] == (404, 20404)


def test_an_address_is_disabled_unless_it_is_enabled(rest: Rest) -> None:
    """An address configuration without AutoCreation.Enabled is disabled."""
    created = create(rest)
    assert created["auto_creation"] == {"enabled": False, "type": "default", "conversation_service_sid": None}
    enabled = rest.call("POST", f"{ADDRESSES}/{created['sid']}", {"AutoCreation.Enabled": "TRUE"}).json
    assert enabled["auto_creation"]["enabled"] is True


def test_a_change_of_the_flow_keeps_the_addresss_own_values_and_back(rest: Rest) -> None:
    """A change of the flow keeps method, filters, country and type; a change of the address keeps the flow's values."""
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


def test_writing_default_back_keeps_a_proxy_flow(rest: Rest) -> None:
    """A proxy flow is shown as `default`, and writing `default` back keeps it a proxy flow."""
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


def test_only_default_flows_are_addresses(rest: Rest) -> None:
    """A flow with a language is no address; an address shows its enabled default flow."""
    french = rest.create(Language="fr")
    rest.create(Enabled="false")
    default = rest.create()
    rest.create(Enabled="false")
    assert rest.call("GET", f"{ADDRESSES}/IG{french['sid'][2:]}").error[:2] == (404, 20404)
    assert f"IG{french['sid'][2:]}" not in rest.listed(ADDRESSES)
    assert rest.call("GET", f"{ADDRESSES}/+15550000001").json["sid"] == f"IG{default['sid'][2:]}"


def test_an_address_is_configured_once(rest: Rest) -> None:
    """A second configuration of an address is 409 (20409), also if the first is disabled, and writes nothing."""
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


def test_a_page_size_above_fifty_is_read_as_fifty(rest: Rest) -> None:
    """A PageSize above 50 is read as 50, because Twilio's libraries send the number of all wanted records."""
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
def test_an_invalid_parameter_is_refused_by_its_name(rest: Rest, name: str, value: str | None, says: str) -> None:
    """An invalid parameter is 400 (20001) with its name in this resource, and nothing is written."""
    form = {"Type": "sms", "Address": "+15550000001", name: value}
    status, code, message = rest.call("POST", ADDRESSES, {key: text for key, text in form.items() if text}).error
    assert (status, code) == (400, 20001)
    assert message.startswith(f"{name}: ")
    assert says in message
    assert rest.written() == {}


@pytest.mark.parametrize(("type_", "needs"), [("webhook", "WebhookUrl"), ("studio", "StudioFlowSid")])
def test_a_type_needs_its_target(rest: Rest, type_: str, needs: str) -> None:
    """A type without its required parameter is 400, and the message has that parameter's name in this resource."""
    form = {"Type": "sms", "Address": "+15550000001", "AutoCreation.Type": type_}
    assert rest.call("POST", ADDRESSES, form).error == (
        400,
        20001,
        f"AutoCreation.{needs}: is required when AutoCreation.Type is {type_}",
    )


def test_a_list_of_an_unknown_type_is_refused(rest: Rest) -> None:
    """A list filtered by an unknown type is 400."""
    assert rest.call("GET", f"{ADDRESSES}?Type=fax").error[:2] == (400, 20001)


@pytest.mark.parametrize(
    "name", ["IG" + "1" * 32, "IG1", "FO" + "1" * 32, "+15559999999", "whatsapp:", "a/b", "%7B5%7D"]
)
def test_an_unknown_address_is_404(rest: Rest, name: str) -> None:
    """GET, POST and DELETE of an unknown SID or address are 404."""
    for method in ("GET", "POST", "DELETE"):
        assert rest.call(method, f"{ADDRESSES}/{name}").error[:2] == (404, 20404)
