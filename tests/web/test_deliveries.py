"""`/v1/Deliveries` and `/v1/Routes`: messages and their outcome, replays, and where a message would go."""

import datetime as dt
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from router.flow.flex_flow import Integration
from router.store.keys import AccountKeys
from tests.core.samples import AC
from tests.e2e.service import ACCOUNT, BASE, TOKEN
from tests.e2e.world import Gate, Reply, World, arrived, sign
from tests.integrations.target import Target, answer
from tests.waiting import wait_until
from tests.web.accounts import SAMPLES_TOKEN, SUBACCOUNT, SUBACCOUNT_TOKEN


@pytest.fixture
def target() -> Iterator[Target]:
    """A target for this test alone."""
    with Target() as running:
        yield running


def listed(world: World, **filters: str | int) -> list[str]:
    """Return the SIDs of all pages of a list, newest first."""
    sids: list[str] = []
    link: str | None = f"{BASE}/v1/Deliveries?{urlencode(filters)}"
    while link:
        reply = world.rest("GET", link.removeprefix(BASE))
        assert reply.status == 200, reply.body
        page = reply.json
        assert len(page["deliveries"]) <= int(filters.get("PageSize", 50))
        sids += [delivery["sid"] for delivery in page["deliveries"]]
        link = page["meta"]["next_page_url"]
        assert link is None or link.startswith(f"{BASE}/v1/Deliveries?")
    return sids


# -- fetch and list ---------------------------------------------------------------------------------------------------


def test_a_delivery_has_message_route_attempts_and_outcome(world: World, target: Target) -> None:
    """A delivery's JSON has the message, its route, its attempts and its outcome."""
    flow = world.flow(target.url("/hook"), response="accept")
    sid = world.text(flow, "+15550001111", Body="Hola").sid
    delivery = world.ends(sid)
    (history,) = delivery.pop("history")
    assert history.pop("seconds") < 10
    assert history == {"attempt": 1, "outcome": "delivered", "status": 200, "reason": None}
    created = dt.datetime.fromisoformat(delivery.pop("date_created"))
    assert abs((dt.datetime.now(dt.UTC) - created).total_seconds()) < 60
    assert delivery == {
        "sid": sid,
        "account_sid": ACCOUNT,
        "status": "delivered",
        "held": False,
        "from": "+15550001111",
        "to": flow.contact_identity,
        "channel": "sms",
        "body": "Hola",
        "num_media": 0,
        "flex_flow_sid": flow.sid,
        "language": None,
        "route": [f"Flow for {flow.contact_identity}: {flow.sid}"],
        "attempts": 1,
        "replays": 0,
        "actions": [],
        "duplicates": 0,
        "recovered": False,
        "in_doubt": False,
        "error": None,
        "answer": None,
        "answered_by": None,
        "late_answer": None,
        "target_said": None,
        "url": f"{BASE}/v1/Deliveries/{sid}",
        "waiting_for": [],
    }


def test_a_waiting_delivery_says_what_it_waits_for(world: World) -> None:
    """`waiting_for` names a paused flow and the message before it in its conversation."""
    flow, theirs = world.flow("https://a.example/x", paused=True, response="accept"), world.address()
    first, second = (world.text(flow, theirs).sid for _ in range(2))
    paused = f"{flow.sid} is paused, so its messages wait"
    assert world.delivery(first)["waiting_for"] == [paused]
    assert world.delivery(second)["waiting_for"] == [
        f"{first} is before it in its conversation and is queued",
        paused,
    ]


def test_a_failed_attempt_says_when_the_next_one_is(world: World, target: Target) -> None:
    """`waiting_for` of a message that failed says in how many seconds it is retried."""
    target.script["/hook"] = answer(429, Retry_After="100")
    sid = world.text(world.flow(target.url("/hook"), response="accept")).sid
    wait_until(lambda: world.delivery(sid)["history"], what="it was tried")
    (said,) = world.becomes(sid, "queued")["waiting_for"]
    seconds = re.fullmatch(r"the next attempt, in (\d+) s", said)
    assert seconds
    assert 80 < int(seconds[1]) <= 100


def test_filters_work_alone_and_together(world: World, target: Target) -> None:
    """Each filter works alone and together with others; addresses may be in any spelling."""
    theirs, others = world.address(), world.address()
    flow = world.flow(target.url("/hook"), response="accept")
    taken = [world.text(flow, theirs).sid for _ in range(2)] + [world.text(flow, others).sid]
    unrouted = world.text(world.address(), theirs).sid
    for sid in taken:
        world.ends(sid)
    assert listed(world, FlexFlowSid=flow.sid) == taken[::-1]
    assert listed(world, From=theirs) == [unrouted, *taken[1::-1]]
    assert listed(world, From=f"{theirs[:2]} ({theirs[2:5]}) {theirs[5:]}", To=flow.contact_identity) == taken[1::-1]
    assert listed(world, Status="unrouted", From=theirs) == [unrouted]
    assert listed(world, Status="delivered", To=flow.contact_identity) == taken[::-1]
    assert (
        listed(world, Status="delivered", From=theirs, To=flow.contact_identity, FlexFlowSid=flow.sid) == taken[1::-1]
    )
    assert listed(world, From=theirs, Status="queued") == []


def test_date_filters_include_after_and_exclude_before(world: World) -> None:
    """DateCreatedAfter includes its moment, DateCreatedBefore does not."""
    theirs = world.address()
    sids = [world.text(world.address(), theirs).sid for _ in range(3)]
    for place, sid in enumerate(sids):
        _accept_at(world, sid, 1_000_000_000_000 + place * 1000)
    moments = [f"2001-09-09T01:46:4{second}Z" for second in range(3)]
    assert listed(world, From=theirs, DateCreatedBefore="2002-01-01") == sids[::-1]
    assert listed(world, DateCreatedAfter=moments[1], DateCreatedBefore="2002-01-01") == sids[:0:-1]
    assert listed(world, DateCreatedAfter=moments[0], DateCreatedBefore=moments[2]) == sids[1::-1]
    assert listed(world, DateCreatedAfter="2001-09-09T03:46:41+02:00", DateCreatedBefore=moments[2]) == [sids[1]]
    assert listed(world, DateCreatedBefore=moments[0]) == []


def _accept_at(world: World, sid: str, moment: int) -> None:
    """Set when a message was accepted, in ms since 1970."""
    world.call("HSET", world.record(sid), "at", moment)
    world.call("ZADD", AccountKeys(ACCOUNT).log, moment, f"{ACCOUNT}:{sid}")


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_pages_show_each_delivery_once(world: World, size: int) -> None:
    """Paging shows each delivery exactly once, also those accepted in the same millisecond."""
    theirs = world.address()
    sids = [world.text(world.address(), theirs).sid for _ in range(7)]
    for place, sid in enumerate(sids):
        _accept_at(world, sid, 1_100_000_000_000 + place // 3)
    found = listed(world, From=theirs, PageSize=size)
    assert sorted(found) == sorted(sids)


def test_a_pages_meta_has_absolute_urls_with_the_filters(world: World) -> None:
    """A page's `meta` has absolute URLs on the public base, with the filters."""
    theirs = world.address()
    for _ in range(3):
        world.text(world.address(), theirs)
    meta = world.rest("GET", f"/v1/Deliveries?{urlencode({'From': theirs, 'PageSize': 2})}").json["meta"]
    query = urlencode({"From": theirs, "PageSize": 2})
    assert (meta["key"], meta["page"], meta["page_size"]) == ("deliveries", 0, 2)
    assert meta["first_page_url"] == meta["url"] == f"{BASE}/v1/Deliveries?{query}&Page=0"
    assert meta["previous_page_url"] is None
    assert meta["next_page_url"].startswith(f"{BASE}/v1/Deliveries?{query}&Page=1&PageToken=")


@pytest.mark.parametrize(
    "query",
    [
        "Status=sent",
        "DateCreatedAfter=yesterday",
        "DateCreatedBefore=2026-13-01",
        "PageSize=0",
        "PageSize=1001",
        "PageSize=many",
        "Page=-1",
        "PageToken=x",
        "PageToken=-1",
        f"PageToken={'9' * 40}",
        "PageToken=%D9%A3",
    ],
)
def test_an_invalid_filter_is_400(world: World, query: str) -> None:
    """An invalid filter or page is 400 and named in the message."""
    reply = world.rest("GET", f"/v1/Deliveries?{query}")
    assert reply.status == 400
    assert_twilio_error(reply, 20007 if query == "PageSize=1001" else 20001)
    assert query.partition("=")[0] in reply.json["message"]


def assert_twilio_error(reply: Reply, code: int) -> None:
    """Check that an error has Twilio's body."""
    error = reply.json
    assert set(error) == {"code", "message", "more_info", "status"}
    assert (error["code"], error["status"]) == (code, reply.status)
    assert error["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert error["message"]


# -- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "secret"),
    [("", ""), (ACCOUNT, ""), (ACCOUNT, "wrong"), (AC, TOKEN), ("AC" + "3" * 32, TOKEN), (TOKEN, ACCOUNT), ("ä", "ö")],
)
def test_wrong_credentials_are_401(world: World, user: str, secret: str) -> None:
    """A request without an account's SID and one of its tokens is 401."""
    reply = world.rest("GET", "/v1/Deliveries", user=user, secret=secret)
    assert reply.status == 401
    assert_twilio_error(reply, 20003)
    assert reply.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/Deliveries"),
        ("GET", "/v1/Deliveries/SM" + "0" * 32),
        ("POST", "/v1/Deliveries/SM" + "0" * 32),
        ("POST", "/v1/Routes"),
    ],
)
def test_without_credentials_each_path_is_401(world: World, method: str, path: str) -> None:
    """Each path of deliveries and routes is 401 without credentials."""
    assert world.send(method, path, b"", {}).status == 401


def test_another_accounts_message_is_404(world: World) -> None:
    """Another account's message is 404 for fetch and replay, and is not listed."""
    fields = world.fields(world.address(), AccountSid=SUBACCOUNT)
    body = urlencode(fields).encode()
    signature = sign("/webhooks/sms", fields, key=SUBACCOUNT_TOKEN)
    sid = world.send("POST", "/webhooks/sms", body, {"X-Twilio-Signature": signature}).sid
    path = f"/v1/Deliveries/{sid}"
    assert world.rest("GET", path, user=SUBACCOUNT, secret=SUBACCOUNT_TOKEN).json["sid"] == sid
    for user, secret in ((ACCOUNT, TOKEN), (AC, SAMPLES_TOKEN)):
        for reply in (
            world.rest("GET", path, user=user, secret=secret),
            world.rest("POST", path, {"Status": "queued"}, user=user, secret=secret),
        ):
            assert reply.status == 404
            assert_twilio_error(reply, 20404)
        listing = world.rest("GET", "/v1/Deliveries?PageSize=1000", user=user, secret=secret).json["deliveries"]
        assert sid not in [delivery["sid"] for delivery in listing]


@pytest.mark.parametrize("sid", ["SM" + "0" * 32, "SM1", "IM" + "0" * 32, "*", "%00", "{5}"])
def test_an_unknown_message_is_404(world: World, sid: str) -> None:
    """An unknown or invalid SID is 404."""
    reply = world.rest("GET", f"/v1/Deliveries/{sid}")
    assert reply.status == 404
    assert_twilio_error(reply, 20404)


# -- replay -----------------------------------------------------------------------------------------------------------


def replay(world: World, sid: str, **form: str) -> Reply:
    """Replay a message by REST."""
    return world.rest("POST", f"/v1/Deliveries/{sid}", {"Status": "queued"} | form)


def test_a_delivered_message_is_sent_again(world: World, target: Target) -> None:
    """A replay sends the same bytes and idempotency token, marked as a replay, as attempt 1."""
    flow = world.flow(target.url("/hook"))
    sid = world.text(flow).sid
    world.ends(sid)
    reply = replay(world, sid)
    assert reply.status == 200
    assert (reply.json["status"], reply.json["replays"]) == ("queued", 1)
    wait_until(lambda: world.delivery(sid)["status"] == "delivered", what="it is delivered again")
    first, second = target.requests
    assert first.body == second.body
    assert first.header("I-Twilio-Idempotency-Token") == second.header("I-Twilio-Idempotency-Token") == sid
    assert (first.header("X-Router-Replay"), second.header("X-Router-Replay")) == (None, "true")
    assert second.header("X-Router-Attempt") == "1"
    assert len(world.delivery(sid)["history"]) == 2


def test_an_undelivered_message_can_be_replayed(world: World, target: Target) -> None:
    """An undelivered message can be replayed, and its error is then gone."""
    target.script["/hook"] = answer(404)
    sid = world.text(world.flow(target.url("/hook"), response="accept")).sid
    assert world.ends(sid)["status"] == "undelivered"
    target.script["/hook"] = answer()
    assert replay(world, sid).status == 200
    wait_until(lambda: world.delivery(sid)["status"] == "delivered", what="it is delivered")
    assert world.delivery(sid)["error"] is None


def test_unrouted_messages_are_sent_in_order(world: World, target: Target) -> None:
    """Unrouted messages are replayed by today's flows, in the order of the replays."""
    ours, theirs = world.address(), world.address()
    sids = [world.text(ours, theirs).sid for _ in range(3)]
    for sid in sids:
        assert replay(world, sid).status == 409
        assert world.delivery(sid)["status"] == "unrouted"
    world.flow(target.url("/hook"), contact_identity=ours, response="accept")
    newer = world.text(ours, theirs).sid
    world.ends(newer)
    for sid in sids:
        assert replay(world, sid).status == 200
    wait_until(lambda: world.delivery(sids[-1])["status"] == "delivered", what="the last is delivered")
    assert arrived(target) == [newer, *sids]


@pytest.mark.parametrize(
    ("route", "path"), [("original", "/old"), ("current", "/new"), ("Current", "/new"), ("", "/old")]
)
def test_a_replay_goes_by_the_old_flow_or_by_todays(world: World, target: Target, route: str, path: str) -> None:
    """Route=original (the default) replays to the message's flow, Route=current to today's."""
    flow = world.flow(target.url("/old"), response="accept")
    sid = world.text(flow).sid
    world.ends(sid)
    world.change(flow, contact_identity=world.address())
    world.flow(target.url("/new"), contact_identity=flow.contact_identity, response="accept")
    before = len(arrived(target, path))
    assert replay(world, sid, **({"Route": route} if route else {})).status == 200
    wait_until(lambda: len(arrived(target, path)) == before + 1, what="it arrives")


def test_a_replay_of_a_queued_message_is_409(world: World, target: Target) -> None:
    """A replay of a message that is queued or being sent is 409."""
    target.script["/hook"] = gate = Gate(answer())
    flow, theirs = world.flow(target.url("/hook"), response="accept"), world.address()
    first, second = world.text(flow, theirs).sid, world.text(flow, theirs).sid
    gate.wait_for(1)
    for sid in (first, second):
        for route in ("original", "current"):
            reply = replay(world, sid, Route=route)
            assert reply.status == 409
            assert_twilio_error(reply, 20409)
    gate.open()
    world.ends(second)
    assert arrived(target) == [first, second]


def test_a_message_whose_body_has_expired_is_410(world: World) -> None:
    """A replay of a message whose body has expired is 410; it can still be fetched."""
    sid = world.text(world.address()).sid
    world.call("HDEL", world.record(sid), "raw")
    for route in ("original", "current"):
        assert_twilio_error(reply := replay(world, sid, Route=route), 20404)
        assert reply.status == 410
    delivery = world.delivery(sid)
    assert (delivery["status"], delivery["body"], delivery["from"]) == ("unrouted", None, None)


def test_a_message_that_has_expired_is_404_and_not_listed(world: World) -> None:
    """A message whose record has expired is 404 and not listed."""
    theirs = world.address()
    sid, kept = (world.text(world.address(), theirs).sid for _ in range(2))
    world.call("DEL", world.record(sid))
    assert replay(world, sid).status == 404
    assert listed(world, From=theirs) == [kept]


@pytest.mark.parametrize(
    "form", [{"Status": "delivered"}, {"Status": ""}, {"Status": "queued", "Route": "sideways"}, {"Route": "current"}]
)
def test_an_invalid_update_of_a_delivery_is_400(world: World, form: dict[str, str]) -> None:
    """An invalid update is 400 and changes nothing."""
    sid = world.text(world.address()).sid
    reply = world.rest("POST", f"/v1/Deliveries/{sid}", form)
    assert reply.status == 400
    assert_twilio_error(reply, 20001)
    assert world.delivery(sid)["replays"] == 0


# -- routes -----------------------------------------------------------------------------------------------------------


def test_routes_explains_a_route_and_changes_nothing(world: World, target: Target) -> None:
    """`/v1/Routes` answers a message's flow and each step, and neither writes nor sends anything."""
    flow = world.flow(target.url("/hook"), friendly_name="Support", paused=True)
    keys = world.keys()
    reply = world.rest("POST", "/v1/Routes", {"From": "+15550000009", "To": flow.contact_identity})
    assert reply.status == 200
    assert reply.json == {
        "account_sid": ACCOUNT,
        "channel": "sms",
        "contact_identity": flow.contact_identity,
        "flex_flow_sid": flow.sid,
        "friendly_name": "Support",
        "integration_type": "external",
        "response": "relay",
        "paused": True,
        "language": None,
        "kept": False,
        "reason": None,
        "steps": [f"Flow for {flow.contact_identity}: {flow.sid}, which is paused"],
    }
    assert world.keys() <= keys, "a message or a contact would add keys"
    assert target.requests == []


def test_routes_without_a_flow_has_a_reason(world: World) -> None:
    """Without a flow `/v1/Routes` answers null and the reason."""
    ours = world.address()
    disabled = world.flow("https://example.com/", contact_identity=ours, enabled=False)
    reported = world.rest("POST", "/v1/Routes", {"From": "+15550000009", "To": ours}).json
    assert reported["flex_flow_sid"] is None
    assert disabled.sid in reported["reason"]
    assert reported["steps"]


def test_routes_for_an_impossible_message_is_400(world: World) -> None:
    """`/v1/Routes` with parameters that no message has is 400."""
    for form in ({}, {"From": "whatsapp:+15550000009", "To": "messenger:1"}, {"From": "+1555", "To": ""}):
        reply = world.rest("POST", "/v1/Routes", form)
        assert reply.status == 400
        assert_twilio_error(reply, 20001)


def test_routes_ignores_account_sid(world: World) -> None:
    """`/v1/Routes` answers for the authenticated account, whatever AccountSid says."""
    flow = world.flow(integration=Integration("proxy"))
    form = {"From": "+15550000009", "To": flow.contact_identity, "AccountSid": ACCOUNT}
    reported = world.rest("POST", "/v1/Routes", form, user=SUBACCOUNT, secret=SUBACCOUNT_TOKEN).json
    assert (reported["account_sid"], reported["flex_flow_sid"]) == (SUBACCOUNT, None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/Deliveries", 405),
        ("DELETE", "/v1/Deliveries/SM" + "0" * 32, 405),
        ("GET", "/v1/Routes", 405),
        ("GET", "/v1/Nothing", 404),
        ("GET", "/", 404),
    ],
)
def test_an_unknown_path_or_method_has_twilios_error_body(world: World, method: str, path: str, status: int) -> None:
    """An unknown path or method has Twilio's error body."""
    reply = world.rest(method, path)
    assert reply.status == status
    assert_twilio_error(reply, {404: 20404, 405: 20004}[status])
