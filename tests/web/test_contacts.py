"""`/v1/Contacts/{identity}`: fetching, setting, closing and erasing a contact."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
from twilio.request_validator import RequestValidator

from router.queries.contacts import ALIASES_MOST
from router.routing.contact import Candidate, Choice, Strength, contact_id
from router.store.keys import AccountKeys
from router.store.lanes import Acceptance, Room, Settlement, new_token
from tests.web.rest import BASE, ONE, TOKENS, TWO, Reply, Rest

PHONE, USER_ID, OTHER = "whatsapp:+34600111222", "whatsapp:ES.13491208655302741918", "whatsapp:+34600999888"
OURS, ALSO_OURS = "whatsapp:+15551230001", "whatsapp:+15551230002"
NOTHING: Final[dict[str, Any]] = {"language": None, "preference": None, "learned": None, "conversations": []}


def path(identity: str = PHONE) -> str:
    """Return a contact's path."""
    return f"/v1/Contacts/{quote(identity, safe='')}"


def post(rest: Rest, identity: str = PHONE, **form: Any) -> Reply:
    """Change a contact."""
    return rest.call("POST", path(identity), form)


def shown(rest: Rest, identity: str = PHONE) -> dict[str, Any]:
    """Fetch a contact that exists."""
    reply = rest.call("GET", path(identity))
    assert reply.status == 200, reply.json
    found: dict[str, Any] = reply.json
    return found


def statuses(rest: Rest) -> dict[str, str]:
    """Return the status of each of a contact's conversations, by address."""
    return {each["address"]: each["status"] for each in shown(rest)["conversations"]}


def whatsapp(rest: Rest, number: int = 1, ours: str = OURS, **more: str) -> str:
    """Make a WhatsApp flow and return its SID."""
    form = {"ChannelType": "whatsapp", "ContactIdentity": ours, "Language": "es"} | more
    sid: str = rest.create(number, **form)["sid"]
    return sid


def accept(rest: Rest, flow: str, *, ours: str = OURS, **more: Any) -> Acceptance:
    """Accept a message without evidence of its own, which today's flows route to `flow`."""
    choice: dict[str, Any] = {"strength": Strength.SILENT, "confident": False, "language": "es"} | more
    return rest.store.lanes.accept(
        token=new_token(),
        account_sid=ONE,
        message_sid="SM" + new_token().encode().hex()[:32],
        lane=contact_id(ours),
        disposition="queue",
        lease=False,
        versions=(),
        facts={"raw": b"", "why": "chosen", "flow": flow, "language": "es"},
        choice=Choice((PHONE,), ours, candidates=(Candidate(flow, "queue", lasting=False),), **choice),
        final=True,
    )


# -- fetch ------------------------------------------------------------------------------------------------------------


def test_a_contact_has_all_its_properties(rest: Rest) -> None:
    """A contact's JSON has its addresses, languages and conversations, and null for what is not known."""
    flow = whatsapp(rest)
    accept(rest, flow, strength=Strength.DECIDED, confident=True, learned={"es": 0.91234, "other": 0.08766})
    post(rest, Preference="pt-br", Language="ES", Alias=USER_ID)
    before = int(datetime.now(UTC).timestamp())
    post(rest, Address=OURS, FlexFlowSid=flow)
    found = shown(rest)
    [conversation] = found["conversations"]
    updated = conversation["date_updated"]
    assert before <= datetime.fromisoformat(updated).timestamp() <= before + 10
    assert found == {
        "account_sid": ONE,
        "identity": PHONE,
        "aliases": [USER_ID],
        "language": "es",
        "preference": "pt-BR",
        "learned": {"es": 0.912, "other": 0.088},
        "conversations": [conversation],
        "url": f"{BASE}{path()}",
    }
    assert conversation == {
        "address": OURS, "flex_flow_sid": flow, "language": "es", "confident": True, "status": "active",
        "date_updated": updated,
    }  # fmt: skip
    assert rest.call("GET", found["url"]).json == found
    made = post(rest, OTHER, Alias="+34600999888").json
    assert made == NOTHING | {"account_sid": ONE, "identity": OTHER, "aliases": ["+34600999888"], "url": made["url"]}


@pytest.mark.parametrize(
    "written",
    [
        "whatsapp:+34600111222",
        "whatsapp%3A%2B34600111222",
        "WhatsApp:34600111222",
        "whatsapp:+34%20600-111-222",
        "%20whatsapp:+34(600)111.222",
    ],
)
def test_an_address_may_be_written_in_any_form(rest: Rest, written: str) -> None:
    """A contact's address may be percent-encoded, lack the plus, or have punctuation."""
    post(rest, Language="es")
    assert rest.call("GET", f"/v1/Contacts/{written}").json["identity"] == PHONE
    assert rest.call("POST", f"/v1/Contacts/{written}", {"Language": "ca"}).json["language"] == "ca"
    assert rest.call("DELETE", f"/v1/Contacts/{written}").status == 204


@pytest.mark.parametrize("identity", ["https://a.example//b", "a/b", "messenger:1?2", "line:U1#é", "%41"])
def test_an_address_may_have_any_characters(rest: Rest, identity: str) -> None:
    """An address with characters that URLs reserve works when percent-encoded, as in the resource's own URL."""
    made = post(rest, identity, Language="es")
    assert (made.status, made.json["identity"]) == (200, identity)
    assert rest.call("GET", made.json["url"]).json == made.json


HOSTILE: Final = [
    "*",
    "whatsapp:*",
    "MG" + "1" * 32,
    "whatsapp:",
    " ",
    ":",
    "a\x00b",
    "+1555\t",
    "x" * 257,
    "\u2028",
    "\ufffd",
]


@pytest.mark.parametrize("identity", [PHONE, *HOSTILE])
def test_an_unknown_contact_is_404_and_not_created(rest: Rest, identity: str) -> None:
    """Fetching, erasing, closing or an empty update of an unknown contact is 404 and creates nothing."""
    before = rest.written()
    for reply in (rest.call("GET", path(identity)), rest.call("DELETE", path(identity))):
        assert reply.error == (404, 20404, f"The requested resource /v1/Contacts/{identity} was not found")
    if identity == PHONE:
        for form in ({}, {"Status": "closed"}, {"Preference": "", "Language": ""}, {"Unknown": "1"}):
            assert rest.call("POST", path(), form).error[:2] == (404, 20404)
    assert rest.written() == before


# -- set --------------------------------------------------------------------------------------------------------------


def test_an_update_changes_only_what_it_names(rest: Rest) -> None:
    """An update changes only the parameters it names; an empty language is removed."""
    post(rest, Language="ca", Preference="es")
    assert (shown(rest)["language"], shown(rest)["preference"]) == ("ca", "es")
    post(rest, Preference="eu")
    assert (shown(rest)["language"], shown(rest)["preference"]) == ("ca", "eu")
    post(rest, Language="")
    assert (shown(rest)["language"], shown(rest)["preference"]) == (None, "eu")
    assert post(rest).json == shown(rest)


def test_a_preference_decides_the_next_message_anew(rest: Rest) -> None:
    """Setting a preference ends the contact's conversations; removing it, or setting Language, ends none."""
    flows = {ours: whatsapp(rest, number, ours) for number, ours in enumerate((OURS, ALSO_OURS))}
    for ours, flow in flows.items():
        accept(rest, flow, ours=ours, strength=Strength.DECIDED, confident=True)
    post(rest, Language="ca")
    post(rest, Preference="")
    assert statuses(rest) == {OURS: "active", ALSO_OURS: "active"}
    assert accept(rest, flows[OURS]).kept
    post(rest, Preference="es")
    assert statuses(rest) == {}
    moved = post(rest, Preference="es", Address=OURS, FlexFlowSid=flows[OURS]).json
    assert [each["address"] for each in moved["conversations"]] == [OURS]


BAD: Final = {
    "no tag": ({"Language": "xx-??"}, "Language: 'xx-??' is not a BCP 47 language tag"),
    "no preference": ({"Preference": "español"}, "Preference: 'español' is not a BCP 47 language tag"),
    "two tags": ({"Language": "es,en"}, "Language: must be one language tag"),
    "a language's name": ({"Language": "spanish"}, "Language: spanish is not a language code: did you mean es?"),
    "a longer code": ({"Preference": "ger-AT"}, "Preference: ger-AT is not a language code: did you mean de-AT?"),
    "a long tag": ({"Preference": "es" + "-abcde" * 10_000}, "Preference: at most 64 characters"),
    "a tag that is a command": ({"Preference": "es\r\nDEL *"}, "Preference: control characters"),
    "an alias that is no address": ({"Alias": "*"}, "Alias: '*' is not a person's address"),
    "an alias that is too long": ({"Alias": f"{OTHER},{'9' * 257}"}, "Alias: at most 256 characters"),
    "an alias with a line feed": ({"Alias": "whatsapp:+1\n2"}, "Alias: control characters"),
    "aliases without end": ({"Alias": ",".join(str(n) for n in range(20_000))}, "Alias: a contact has at most"),
    "another status": ({"Status": "active"}, "Status: 'active' is not one of closed"),
    "an address alone": ({"Address": OURS}, "Address: needs FlexFlowSid"),
    "an address that is none": ({"Address": "whatsapp:", "Status": "closed"}, "Address: 'whatsapp:' is not a person's"),
    "a flow alone": ({"FlexFlowSid": "FO" + "1" * 32}, "Address: is missing"),
    "a flow that is no SID": ({"Address": OURS, "FlexFlowSid": "FO1"}, "FlexFlowSid: 'FO1' is not FO and 32"),
    "no such flow": ({"Address": OURS, "FlexFlowSid": "FO" + "1" * 32}, "FlexFlowSid: there is no Flex Flow"),
    "two of one": ({"Language": ["es", "ca"]}, "Language: is given 2 times, with different values"),
    "to move and to close": (
        {"Address": OURS, "FlexFlowSid": "FO" + "1" * 32, "Status": "closed"},
        "Status: closed ends the conversation that FlexFlowSid would move",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("form", "message"), BAD.values(), ids=BAD)
def test_an_invalid_parameter_is_400_and_changes_nothing(rest: Rest, form: dict[str, Any], message: str) -> None:
    """An invalid parameter is 400 and named in the message; valid ones in the same request change nothing either."""
    before = rest.written()
    status, code, said = rest.call("POST", path(), {"Preference": "es", "Alias": OTHER} | form).error
    assert (status, code, said[: len(message)]) == (400, 20001, message)
    assert len(said) < 300
    assert rest.written() == before


@pytest.mark.parametrize("identity", HOSTILE)
def test_setting_an_impossible_address_is_400(rest: Rest, identity: str) -> None:
    """An update of an address that cannot exist is 400 and writes nothing."""
    before = rest.written()
    status, code, said = rest.call("POST", path(identity), {"Language": "es"}).error
    assert (status, code) == (400, 20001)
    assert said.startswith("Identity: ")
    assert rest.written() == before


# -- one person -------------------------------------------------------------------------------------------------------


def test_an_alias_is_the_same_contact(rest: Rest) -> None:
    """Each alias leads to the same contact and URL; aliases come in one parameter or several."""
    post(rest, Language="es", Alias=f"{USER_ID}, messenger:7")
    post(rest, "messenger:7", Preference="ca", Alias=[OTHER, "+34600111222"])
    for identity in (PHONE, USER_ID, "messenger:7", OTHER, "+34600111222"):
        found = shown(rest, identity)
        assert (found["identity"], found["url"]) == (PHONE, f"{BASE}{path()}")
        assert (found["language"], found["preference"]) == ("es", "ca")
        assert found["aliases"] == sorted([USER_ID, "messenger:7", OTHER, "+34600111222"])
    assert rest.call("DELETE", path(USER_ID)).status == 204
    assert rest.call("GET", path()).status == 404


def test_two_contacts_become_one(rest: Rest) -> None:
    """An alias that is a contact itself is merged: its values fill the gaps, and its aliases are added."""
    post(rest, OTHER, Language="ca", Preference="eu", Alias=USER_ID)
    post(rest, Language="es")
    joined = post(rest, Alias=OTHER).json
    assert (joined["language"], joined["preference"], joined["aliases"]) == ("es", "eu", sorted([OTHER, USER_ID]))
    assert shown(rest, USER_ID) == joined


def test_an_alias_of_another_contact_is_409(rest: Rest) -> None:
    """An alias of another contact is 409, which names that contact and the way to merge, and writes nothing."""
    post(rest, OTHER, Alias=USER_ID)
    before = rest.written()
    expected = f"Alias: {USER_ID} is known as {OTHER}: name that one, and the two contacts become one"
    assert post(rest, Language="es", Alias=USER_ID).error == (409, 20409, expected)
    assert rest.written() == before


def test_a_contact_has_a_limited_number_of_aliases(rest: Rest) -> None:
    """A contact has at most ALIASES_MOST aliases; naming one again is allowed."""
    aliases = [f"messenger:{number}" for number in range(ALIASES_MOST)]
    assert len(post(rest, Alias=",".join(aliases)).json["aliases"]) == ALIASES_MOST
    assert post(rest, Alias=aliases[0]).status == 200
    assert post(rest, Alias="line:U1").error[:2] == (400, 20001)


def test_values_that_were_set_do_not_expire(rest: Rest) -> None:
    """A set language, preference, alias or long-lived conversation does not expire; another conversation does."""
    lasting = whatsapp(rest, LongLived="true")
    passing = whatsapp(rest, 2, ALSO_OURS)
    forms = {
        "1": {"Language": "es"},
        "2": {"Preference": "es"},
        "3": {"Alias": "line:U3"},
        "4": {"Address": OURS, "FlexFlowSid": lasting},
        "5": {"Address": ALSO_OURS, "FlexFlowSid": passing},
    }
    kept = {}
    for identity, form in forms.items():
        assert post(rest, identity, **form).status == 200
        kept[identity] = rest.store.changes._client.call("TTL", AccountKeys(ONE).contacts + contact_id(identity))
    assert [kept[identity] for identity in "1234"] == [-1] * 4
    assert 7 * 86_400 - 60 < kept["5"] <= 7 * 86_400


# -- conversations ----------------------------------------------------------------------------------------------------


def test_a_conversation_goes_to_the_flow_that_is_set(rest: Rest) -> None:
    """A conversation that was given a flow goes there from the next message on; others stay with theirs."""
    chosen, other = whatsapp(rest, Language="es,ca"), whatsapp(rest, 2)
    accept(rest, other, strength=Strength.DECIDED, confident=True)
    accept(rest, other, ours=ALSO_OURS)
    [*_] = post(rest, Language="ca", Address=OURS, FlexFlowSid=chosen).json["conversations"]
    kept = accept(rest, chosen)
    assert (kept.kept, kept.flow_sid, kept.language) == (True, chosen, "ca")
    flows = {each["address"]: each["flex_flow_sid"] for each in shown(rest)["conversations"]}
    assert flows == {OURS: chosen, ALSO_OURS: other}


SMS: Final = {"ChannelType": "sms", "ContactIdentity": "*"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"Enabled": "false"}, "is disabled", id="disabled"),
        pytest.param({"ContactIdentity": ALSO_OURS}, f"takes messages to {ALSO_OURS}, not to {OURS}", id="address"),
        pytest.param(SMS, f"takes sms messages, and {OURS} gets whatsapp messages", id="channel"),
        pytest.param({"ContactIdentity": "*"}, f"is for *, and {OURS} has its own default flow", id="rest"),
    ],
)
def test_a_flow_that_does_not_take_the_conversation_is_400(rest: Rest, more: dict[str, Any], reason: str) -> None:
    """A flow that is disabled, or of another address or channel, cannot be given a conversation (400)."""
    whatsapp(rest, 2, Language="")
    flow = whatsapp(rest, **more)
    assert post(rest, Address=OURS, FlexFlowSid=flow).error[2].startswith(f"FlexFlowSid: {flow} {reason}")


@pytest.mark.parametrize("taking", ["*", "MG" + "1" * 32])
def test_a_flow_for_several_addresses_may_take_what_no_other_does(rest: Rest, taking: str) -> None:
    """A flow for `*` or a Messaging Service may be given a conversation if the address has no default flow."""
    whatsapp(rest, 2)
    flow = whatsapp(rest, ContactIdentity=taking)
    assert post(rest, Address="whatsapp:15551230001", FlexFlowSid=flow).status == 200
    assert statuses(rest) == {OURS: "active"}


def test_another_accounts_flow_is_refused_as_unknown(rest: Rest) -> None:
    """Another account's flow is refused in the same words as one that does not exist."""
    theirs = rest.create(1, user=TWO, ChannelType="whatsapp", ContactIdentity=OURS)["sid"]
    assert post(rest, Address=OURS, FlexFlowSid=theirs).error[2] == f"FlexFlowSid: there is no Flex Flow {theirs}"


def test_conversations_are_closed(rest: Rest) -> None:
    """Closing ends one conversation or all; the next message is routed again, and the contact's language stays."""
    flows = {ours: whatsapp(rest, number, ours) for number, ours in enumerate((OURS, ALSO_OURS))}
    for ours, flow in flows.items():
        accept(rest, flow, ours=ours, strength=Strength.DECIDED, confident=True)
    post(rest, Language="ca")
    closed = post(rest, Status="closed", Address="WhatsApp:+1 555 123 0001").json
    assert [each["address"] for each in closed["conversations"]] == [ALSO_OURS]
    assert post(rest, Status="closed").json["conversations"] == []
    assert post(rest, Status="closed").json["language"] == "ca"
    assert not accept(rest, flows[OURS]).kept


@pytest.mark.parametrize("change", [{"Enabled": "false"}, {"ContactIdentity": "whatsapp:+15551239999"}, None])
def test_a_conversation_whose_flow_is_gone_is_inactive(rest: Rest, change: dict[str, str] | None) -> None:
    """A conversation is inactive when its flow is disabled, deleted or moved to another address."""
    flow = whatsapp(rest)
    post(rest, Address=OURS, FlexFlowSid=flow)
    assert rest.call("POST" if change else "DELETE", f"/v1/FlexFlows/{flow}", change).status in (200, 204)
    assert statuses(rest) == {OURS: "inactive"}


def test_a_conversation_that_is_idle_is_inactive(rest: Rest) -> None:
    """A conversation is inactive after ROUTER_STICKY_HOURS, unless its flow is long-lived."""
    passing, lasting = whatsapp(rest), whatsapp(rest, 2, ALSO_OURS, LongLived="true")
    post(rest, Address=OURS, FlexFlowSid=passing)
    post(rest, Address=ALSO_OURS, FlexFlowSid=lasting)
    key = AccountKeys(ONE).contacts + contact_id(PHONE)
    for ours, flow in ((OURS, passing), (ALSO_OURS, lasting)):
        rest.store.changes._client.call("HSET", key, f"stay {ours}", f"{flow} 1 1000000000000 es")
    assert statuses(rest) == {OURS: "inactive", ALSO_OURS: "active"}
    assert {each["date_updated"] for each in shown(rest)["conversations"]} == {"2001-09-09T01:46:40Z"}


# -- erase ------------------------------------------------------------------------------------------------------------


def text(rest: Rest, number: int, ours: str, body: str) -> str:
    """Receive a signed message and return its SID."""
    sid = f"SM{number:032x}"
    fields = {"AccountSid": ONE, "MessageSid": sid, "From": PHONE, "To": ours, "Body": body, "WaId": "34600111222"}
    signature = RequestValidator(TOKENS[ONE]).compute_signature(f"{BASE}/webhooks/whatsapp", fields)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    client = rest.app.test_client()
    assert client.post("/webhooks/whatsapp", data=urlencode(fields), headers=headers).status_code == 200
    return sid


def test_what_is_set_decides_where_the_next_message_goes(rest: Rest) -> None:
    """The next message goes by the preference, by the flow that was set, or, once closed, by the preference again."""
    handler: dict[str, Any] = {"IntegrationType": "handler", "Integration.Handler": "one"}
    french, rest_of_them = whatsapp(rest, Language="fr", **handler), whatsapp(rest, 2, Language="", **handler)
    post(rest, Preference="fr-CA")
    for number, (form, flow) in enumerate(
        [({}, french), ({"Address": OURS, "FlexFlowSid": rest_of_them}, rest_of_them), ({"Status": "closed"}, french)]
    ):
        post(rest, **form)
        assert rest.call("GET", f"/v1/Deliveries/{text(rest, number, OURS, 'ok')}").json["flex_flow_sid"] == flow
        assert [each["flex_flow_sid"] for each in shown(rest)["conversations"]] == [flow]
    assert (shown(rest)["preference"], statuses(rest)) == ("fr-CA", {OURS: "active"})


def test_a_sender_to_an_address_with_one_flow_is_not_kept_as_a_contact(rest: Rest) -> None:
    """A sender to an address with one flow is no contact (404); erasing still clears the message's body."""
    whatsapp(rest, Language="", IntegrationType="handler", Integration__Handler="one")
    sid = text(rest, 1, OURS, "Meinetwegen")
    assert rest.call("GET", path()).status == 404
    assert rest.call("DELETE", path()).status == 204
    assert rest.call("GET", f"/v1/Deliveries/{sid}").json["body"] is None


def test_erasing_removes_the_contact_and_its_messages_content(rest: Rest) -> None:
    """After erasing, the contact is 404 and its messages have no content and cannot be replayed (410)."""
    rest.create(ChannelType="whatsapp", ContactIdentity=OURS, IntegrationType="handler", Integration__Handler="one")
    post(rest, Language="es")
    delivered, unrouted = text(rest, 1, OURS, "Meinetwegen"), text(rest, 2, ALSO_OURS, "Meinetwegen")
    before = {sid: rest.call("GET", f"/v1/Deliveries/{sid}").json for sid in (delivered, unrouted)}
    assert "Meinetwegen" in before[delivered]["answer"]
    assert rest.call("DELETE", path()).status == 204
    said = {"from": None, "to": None, "channel": None, "body": None, "num_media": None, "answer": None, "error": None}
    for sid in (delivered, unrouted):
        after = rest.call("GET", f"/v1/Deliveries/{sid}").json
        assert after == before[sid] | said | {"route": ["Erased on request"], "history": []}
        for route in ("original", "current"):
            replayed = rest.call("POST", f"/v1/Deliveries/{sid}", {"Status": "queued", "Route": route})
            assert replayed.error[:2] == (410, 20404)
    assert rest.listed("/v1/Deliveries") == [unrouted, delivered]
    assert rest.listed(f"/v1/Deliveries?From={quote(PHONE)}") == []
    for reply in (rest.call("GET", path()), rest.call("DELETE", path())):
        assert reply.error[:2] == (404, 20404)


def test_messages_that_are_not_done_are_delivered_first(rest: Rest) -> None:
    """Erasing with messages that wait is 409 and erases only the others; once they are delivered it is 204."""
    flow = whatsapp(rest, Language="", IntegrationType="handler", Integration__Handler="one", Paused="true")
    done, waiting = text(rest, 1, ALSO_OURS, "Eins"), text(rest, 2, OURS, "Zwei")
    post(rest, Language="es")
    refused = rest.call("DELETE", path()).error
    assert refused[:2] == (409, 20409)
    assert refused[2].startswith(
        "1 of the contact's messages must be delivered first, so the contact was kept. Erased: 1 other messages"
    )
    assert rest.call("GET", f"/v1/Deliveries/{done}").json["body"] is None
    assert rest.call("GET", f"/v1/Deliveries/{waiting}").json["body"] == "Zwei"
    assert shown(rest)["language"] == "es"
    rest.call("POST", f"/v1/FlexFlows/{flow}", {"Paused": "false"})
    [lease] = rest.store.lanes.claim(ONE[-2:], Room(1)).leases
    rest.store.lanes.settle(lease, Settlement("delivered"), next_token="")
    assert rest.call("DELETE", path()).status == 204
    assert rest.call("GET", f"/v1/Deliveries/{waiting}").json["body"] is None
    assert rest.call("GET", path()).status == 404
