"""Three accounts at each endpoint: none sees, lists, changes or infers what belongs to another; and credentials."""

import re
from base64 import b64encode
from urllib.parse import quote, urlencode

import pytest
from twilio.request_validator import RequestValidator

from router.store.failures import MOST, MOST_OF_ALL
from tests.web.rest import BASE, IS, KEY, KEY_SECRET, ONE, RETIRED, THREE, TOKENS, TWO, Rest, flow_form

MESSAGE = "SM" + "4" * 32
CONTACT = "+15559990000"
ADDRESS = "+15550000001"
# Each rule of the REST resources, and the path and form of a call for one resource of an account.
CALLS: dict[str, tuple[str, dict[str, str] | None] | None] = {
    "GET /v1/FlexFlows": None,
    "POST /v1/FlexFlows": None,
    "GET /v1/FlexFlows/<sid>": ("/v1/FlexFlows/{flow}", None),
    "POST /v1/FlexFlows/<sid>": ("/v1/FlexFlows/{flow}", {"FriendlyName": "taken"}),
    "DELETE /v1/FlexFlows/<sid>": ("/v1/FlexFlows/{flow}", None),
    "GET /v1/FlexFlows/<sid>/Changes": ("/v1/FlexFlows/{flow}/Changes", None),
    "GET /v1/Configuration/Addresses": None,
    "POST /v1/Configuration/Addresses": None,
    "GET /v1/Configuration/Addresses/<path:name>": ("/v1/Configuration/Addresses/{address}", None),
    "POST /v1/Configuration/Addresses/<path:name>": (
        "/v1/Configuration/Addresses/{address}",
        {"FriendlyName": "taken"},
    ),
    "DELETE /v1/Configuration/Addresses/<path:name>": ("/v1/Configuration/Addresses/{address}", None),
    "GET /v1/Deliveries": None,
    "GET /v1/Deliveries/<sid>": ("/v1/Deliveries/{message}", None),
    "POST /v1/Deliveries/<sid>": ("/v1/Deliveries/{message}", {"Status": "queued"}),
    "POST /v1/Routes": None,
    "GET /v1/Contacts/<path:identity>": ("/v1/Contacts/{contact}", None),
    "POST /v1/Contacts/<path:identity>": ("/v1/Contacts/{contact}", {"Status": "closed"}),
    "DELETE /v1/Contacts/<path:identity>": ("/v1/Contacts/{contact}", None),
}
# The same for chats, which have two paths.
_CHAT: dict[str, tuple[str, dict[str, str] | None] | None] = {
    "GET {}/Conversations": None,
    "POST {}/Conversations": None,
    "GET {}/Conversations/<name>": ("/{chat}", None),
    "POST {}/Conversations/<name>": ("/{chat}", {"FriendlyName": "taken"}),
    "GET {}/Conversations/<name>/Messages": ("/{chat}/Messages", None),
    "POST {}/Conversations/<name>/Messages": ("/{chat}/Messages", {"Author": "agent", "Body": "taken"}),
    "GET {}/Conversations/<name>/Messages/<sid>": ("/{chat}/Messages/{sent}", None),
    "POST {}/Conversations/<name>/Messages/<sid>": ("/{chat}/Messages/{sent}", {"Body": "taken"}),
    "DELETE {}/Conversations/<name>/Messages/<sid>": ("/{chat}/Messages/{sent}", None),
    "GET {}/Conversations/<name>/Participants": ("/{chat}/Participants", None),
    "POST {}/Conversations/<name>/Participants": ("/{chat}/Participants", {"Identity": "agent"}),
    "GET {}/Conversations/<name>/Participants/<who>": ("/{chat}/Participants/{visitor}", None),
    "POST {}/Conversations/<name>/Participants/<who>": (
        "/{chat}/Participants/{visitor}",
        {"LastReadMessageIndex": "0"},
    ),
    "DELETE {}/Conversations/<name>/Participants/<who>": ("/{chat}/Participants/{visitor}", None),
    "GET {}/Conversations/<name>/Webhooks": ("/{chat}/Webhooks", None),
    "GET {}/Conversations/<name>/Webhooks/<sid>": ("/{chat}/Webhooks/{webhook}", None),
    "DELETE {}/Conversations/<name>": ("/{chat}", None),
}
for _rule, _prefix in (("/v1", "/v1"), ("/v1/Services/<service>", f"/v1/Services/{IS}")):
    CALLS |= {
        each.format(_rule): call and (f"{_prefix}/Conversations{call[0]}", call[1]) for each, call in _CHAT.items()
    }
    CALLS[f"GET {_rule}/ParticipantConversations"] = None
CALLS |= {
    "POST /v2/WebChats": None,
    "GET /v1/WebChannels": None,
    "POST /v1/WebChannels": None,
    "GET /v1/WebChannels/<sid>": ("/v1/WebChannels/{chat}", None),
    "POST /v1/WebChannels/<sid>": ("/v1/WebChannels/{chat}", {"PostEngagementData": "{}"}),
    "DELETE /v1/WebChannels/<sid>": ("/v1/WebChannels/{chat}", None),
}
LISTS = {
    "/v1/FlexFlows": "sid",
    "/v1/FlexFlows?FriendlyName=Flow%201": "sid",
    "/v1/Configuration/Addresses": "sid",
    "/v1/Configuration/Addresses?Type=sms": "sid",
    "/v1/Deliveries": "sid",
}


def receive(rest: Rest, user: str) -> None:
    """Receive an unrouted message with the same SID for each account."""
    fields = {"AccountSid": user, "MessageSid": MESSAGE, "From": CONTACT, "To": "+15558880000", "Body": user}
    signature = RequestValidator(TOKENS[user]).compute_signature(f"{BASE}/webhooks/sms", fields)
    reply = rest.app.test_client().post(
        "/webhooks/sms",
        data=urlencode(fields),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature},
    )
    assert reply.status_code == 200


def chat(rest: Rest, user: str) -> dict[str, str]:
    """Start an account's chat with an agent's message; return the SIDs."""
    form = flow_form(2, ChannelType="web", IntegrationType="external", Integration__Url="https://a.example/chat")
    del form["ContactIdentity"]
    flow = rest.call("POST", "/v1/FlexFlows", form, user=user)
    assert flow.status == 201, flow.json
    begun = rest.call("POST", "/v2/WebChats", {"AddressSid": f"IG{flow.json['sid'][2:]}"}, user=user)
    assert begun.status == 201, begun.json
    path = f"/v1/Conversations/{begun.json['conversation_sid']}"
    sent = rest.call("POST", f"{path}/Messages", {"Author": "agent", "Body": "Hello"}, user=user).json["sid"]
    (visitor,) = rest.call("GET", f"{path}/Participants", user=user).json["participants"]
    (webhook,) = rest.call("GET", f"{path}/Webhooks", user=user).json["webhooks"]
    return {
        "chat": begun.json["conversation_sid"],
        "sent": sent,
        "visitor": visitor["sid"],
        "webhook": webhook["sid"],
    }


def test_every_endpoint_is_in_the_table(rest: Rest) -> None:
    """Each endpoint of the application is in this file's table."""
    rules = {
        f"{method} {rule.rule}"
        for rule in rest.app.url_map.iter_rules()
        if re.match(r"/v\d", rule.rule) and rule.rule != "/v1/openapi.json"  # public
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == set(CALLS)


@pytest.mark.parametrize(("owner", "other"), [(ONE, TWO), (TWO, ONE), (ONE, THREE), (THREE, TWO)])
def test_another_accounts_sid_is_answered_as_unknown(rest: Rest, owner: str, other: str) -> None:
    """Another account's SID gets the same 404, word for word, as an unknown one, and nothing is changed."""
    flow = rest.create(user=owner)["sid"]
    receive(rest, owner)
    assert rest.call("POST", f"/v1/Contacts/{CONTACT}", {"Language": "es"}, user=owner).status == 200
    mine = {"flow": flow, "address": f"IG{flow[2:]}", "message": MESSAGE, "contact": CONTACT} | chat(rest, owner)
    nobodys = {name: value[:2] + "0" * 32 for name, value in mine.items()} | {"contact": "+15550009999"}
    before = rest.written()
    for rule, call in CALLS.items():
        if call is None:
            continue
        path, form = call
        method = rule.partition(" ")[0]
        refused = rest.call(method, path.format(**mine), form, user=other)
        unknown = rest.call(method, path.format(**nobodys), form, user=other)
        assert refused.error[:2] == (404, 20404)
        said = str(refused.json)
        for name, value in mine.items():
            said = said.replace(quote(value), quote(nobodys[name])).replace(value, nobodys[name])
        assert said == str(unknown.json)
        assert dict(refused.headers).keys() == dict(unknown.headers).keys()
    for method in ("GET", "POST", "DELETE"):
        by_address = f"/v1/Configuration/Addresses/{quote(ADDRESS)}"
        assert rest.call(method, by_address, {}, user=other).error[:2] == (404, 20404)
    assert rest.written() == before
    for rule, call in CALLS.items():
        if call is not None and not rule.startswith("DELETE"):
            assert rest.call(rule.partition(" ")[0], call[0].format(**mine), call[1], user=owner).status in (
                200,
                201,
                409,
            )


def test_lists_show_only_the_accounts_own(rest: Rest) -> None:
    """Each account lists only its own, though all three have the same addresses, names and message SIDs."""
    flows = {user: rest.create(user=user)["sid"] for user in (ONE, TWO, THREE)}
    for user in flows:
        receive(rest, user)
    for user, flow in flows.items():
        for path in LISTS:
            expected = {"F": flow, "C": f"IG{flow[2:]}", "D": MESSAGE}[path.removeprefix("/v1/")[0]]
            assert rest.listed(path, user=user) == [expected]
            assert all(
                each["account_sid"] == user
                for page in rest.pages(path, user=user)
                for each in page[page["meta"]["key"]]
            )
        assert rest.call("GET", f"/v1/Deliveries/{MESSAGE}", user=user).json["body"] == user
        route = rest.call("POST", "/v1/Routes", {"To": ADDRESS, "From": CONTACT}, user=user).json
        assert route["flex_flow_sid"] == flow
        assert not any(sid in str(route) for other, sid in flows.items() if other != user)


def test_lists_show_only_the_accounts_own_chats(rest: Rest) -> None:
    """Each account lists only the chats of its own visitors."""
    chats = {user: chat(rest, user)["chat"] for user in (ONE, TWO, THREE)}
    for user, sid in chats.items():
        for path in ("/v1/Conversations", f"/v1/Services/{IS}/Conversations", "/v1/WebChannels"):
            assert rest.listed(path, user=user) == [sid]


def test_another_accounts_address_is_no_conflict(rest: Rest) -> None:
    """An address that another account has is no conflict, and AccountSid in a form is ignored."""
    for user in (ONE, TWO, THREE):
        created = rest.call("POST", "/v1/FlexFlows", flow_form(AccountSid=ONE), user=user)
        assert (created.status, created.json["account_sid"]) == (201, user)
        form = {"Type": "sms", "Address": "+15550000009"}
        assert rest.call("POST", "/v1/Configuration/Addresses", form, user=user).json["account_sid"] == user


def test_a_contact_belongs_to_one_account(rest: Rest) -> None:
    """The same address is another contact for each account, and cannot be given another account's flow."""
    flow = rest.create(user=TWO)["sid"]
    for user, tag in ((ONE, "es"), (TWO, "ca"), (THREE, "eu")):
        assert rest.call("POST", f"/v1/Contacts/{CONTACT}", {"Language": tag}, user=user).json["account_sid"] == user
    refused = rest.call("POST", f"/v1/Contacts/{CONTACT}", {"Address": ADDRESS, "FlexFlowSid": flow}, user=ONE)
    assert refused.error == (400, 20001, f"FlexFlowSid: there is no Flex Flow {flow}")
    assert rest.call("DELETE", f"/v1/Contacts/{CONTACT}", user=ONE).status == 204
    assert rest.call("GET", f"/v1/Contacts/{CONTACT}", user=ONE).status == 404
    assert rest.call("GET", f"/v1/Contacts/{CONTACT}", user=TWO).json["language"] == "ca"


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("user", "token"), [(ONE, TOKENS[ONE]), (ONE, RETIRED), (KEY, KEY_SECRET), (TWO, TOKENS[TWO])])
def test_valid_credentials_are_accepted(rest: Rest, user: str, token: str) -> None:
    """An account with any of its tokens, or an API key with its secret, is accepted."""
    receive(rest, ONE if user == KEY else user)
    page = rest.call("GET", "/v1/Deliveries", user=user, token=token)
    assert page.json["deliveries"][0]["account_sid"] == (ONE if user == KEY else user)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic " + "A" * 10_000,
        "Basic \xff\xfe",
        "Basic " + b64encode(b"\xff:\xfe").decode(),
        "Basic " + b64encode(ONE.encode()).decode(),
        "Digest username=\xff",
        f"Bearer {TOKENS[ONE]}",
        (ONE, ""),
        (ONE, TOKENS[TWO]),
        (ONE, TOKENS[ONE][:-1]),
        (ONE, KEY_SECRET),
        (KEY, TOKENS[ONE]),
        (KEY.lower(), KEY_SECRET),
        ("AC" + "0" * 32, "0" * 32),
        (KEY, KEY_SECRET[:15]),
        (KEY, KEY_SECRET[:-1]),
        (KEY, KEY_SECRET + "k"),
        (KEY, ""),
        ("", ""),
        ("ü", "ü"),
    ],
)
def test_invalid_credentials_are_401(rest: Rest, authorization: str | tuple[str, str] | None) -> None:
    """Invalid credentials are 401 (20003) with the same body at each endpoint, known account or not."""
    for number, rule in enumerate(CALLS):
        if number % 15 == 0:
            rest.valkey.flush()  # the limit is twenty wrong attempts
        method, _, path = rule.partition(" ")
        _refused(rest, method, path, authorization)


def _refused(rest: Rest, method: str, path: str, authorization: str | tuple[str, str] | None) -> None:
    if isinstance(authorization, tuple):
        headers = {"Authorization": f"Basic {b64encode(':'.join(authorization).encode()).decode()}"}
    else:
        headers = {} if authorization is None else {"Authorization": authorization}
    reply = rest.app.test_client().open(path, method=method, headers=headers)
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"'
    assert reply.json == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


def test_wrong_credentials_are_limited_by_client_address(rest: Rest) -> None:
    """After twenty wrong credentials in a minute a client address gets 429, but right credentials are still accepted.

    The client address comes from a trusted proxy only; an IPv6 subnet is one client.
    """

    def guess(forwarded: str, proxy: str = "10.0.0.1") -> int:
        client = rest.app.test_client()
        reply = client.get(
            "/v1/FlexFlows",
            auth=(ONE, "wrong"),
            headers={"X-Forwarded-For": forwarded},
            environ_overrides={"REMOTE_ADDR": proxy},
        )
        if reply.status_code == 429:
            assert reply.json is not None
            assert reply.json["code"] == 20429
            assert 0 < int(reply.headers["Retry-After"]) <= 60
        return reply.status_code

    assert [guess("198.51.100.1") for _ in range(MOST + 1)] == [401] * MOST + [429]
    assert guess("198.51.100.2") == 401
    assert [guess(f"198.51.100.{n}", "192.0.2.1") for n in range(MOST + 1)][-1] == 429
    assert [guess(f"2001:db8::{n:x}") for n in range(MOST + 1)][-1] == 429  # one subnet is one client
    allowed = rest.app.test_client().get(
        "/v1/FlexFlows",
        auth=(ONE, TOKENS[ONE]),
        headers={"X-Forwarded-For": "198.51.100.1"},
        environ_overrides={"REMOTE_ADDR": "10.0.0.1"},
    )
    assert allowed.status_code == 200


def test_wrong_credentials_from_many_addresses_are_limited(rest: Rest) -> None:
    """Too many wrong credentials over all addresses are 429; a request without credentials is not counted."""
    for number in range(MOST_OF_ALL + 1):
        rest.store.failures.count(f"10.{number // 250}.{number % 250}.1")
    assert rest.call("GET", "/v1/FlexFlows", token="wrong").status == 429
    assert rest.app.test_client().get("/v1/FlexFlows").status_code == 401
    assert rest.call("GET", "/v1/FlexFlows").status == 200
