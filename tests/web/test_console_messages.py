import re
from urllib.parse import quote, urlencode

from router.flow.flex_flow import Integration
from router.message.channel import ALL
from tests.e2e.world import World, arrived, twiml
from tests.integrations.target import Target, answer
from tests.web.console import HERE, READING, Person, signed_in, text_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.exe {{ 7*7 }}"


def test_the_list_is_filtered_by_its_url(world: World, admin: Person) -> None:
    """Each filter of the list is a query parameter; an invalid one shows an error on the page."""
    with Target({"/fine": answer(body=twiml("ok")), "/bad": answer(404, b"no such hook")}) as target:
        fine = world.flow(target.url("/fine"), friendly_name="Fine")
        bad = world.flow(integration=Integration("external", url=target.url("/bad"), retry_count=0))
        good = world.ends(world.text(fine, "+14155550111", Body="the good one").sid)
        lost = world.ends(world.text(bad, "+14155550122", Body="the lost one").sid)
    stray = world.ends(world.text("+15550009999", Body="the stray one").sid)
    said = {"good": "the good one", "lost": "the lost one", "stray": "the stray one"}
    for query, wanted in (
        ({}, {"good", "lost", "stray"}),
        ({"status": "delivered"}, {"good"}),
        ({"status": "unrouted"}, {"stray"}),
        ({"from": "+14155550111"}, {"good"}),
        ({"to": bad.contact_identity}, {"lost"}),
        ({"flow": fine.sid}, {"good"}),
        ({"target": "127.0.0.1"}, {"good", "lost"}),
        ({"error": "404"}, {"lost"}),
        ({"channel": "whatsapp"}, set()),
        ({"language": "es"}, set()),
        ({"before": "2020-01-01"}, set()),
        ({"after": "2020-01-01", "status": "undelivered"}, {"lost"}),
    ):
        shown = text_of(admin.get(f"{HERE}/messages?{urlencode(query)}"))
        assert {name for name, text in said.items() if text in shown} == wanted, query
    assert "3 searched" in text_of(admin.get(f"{HERE}/messages"))
    nothing = text_of(admin.get(f"{HERE}/messages?from=%2B14155559999"))
    assert "No message matches the filter" in nothing
    assert "asks Twilio what the router did not get" in nothing
    for wrong in ({"status": "lost"}, {"channel": "fax"}, {"after": "yesterday"}, {"page": "9999-x"}):
        page = admin.get(f"{HERE}/messages?{urlencode(wrong)}")
        assert page.status == 200
        assert b'role="alert"' in page.body, wrong
    assert admin.get(f"{HERE}/messages?q={lost['sid']}").headers["Location"] == f"{HERE}/messages/{lost['sid']}"
    assert good["status"] == "delivered"
    assert stray["status"] == "unrouted"


def test_an_unrouted_message_is_first_offered_to_the_current_flows(world: World, admin: Person) -> None:
    """The main button of an unrouted message routes it again: its own flow may be the one that was disabled."""
    sid = world.ends(world.text("+15550009997").sid)["sid"]
    page = admin.get(f"{HERE}/messages/{sid}").body
    [main] = re.findall(rb'<button class="primary"[^>]*value="(\w+)"', page)
    assert main == b"current"


def test_addresses_are_masked_until_they_are_revealed(world: World, admin: Person) -> None:
    """Addresses are masked until this session reveals them, which is logged; other sessions still see masks."""
    sid = world.text("+15550009998", "+14155557788", Body="who am I").sid
    other = signed_in(world, READING)
    for path in ("messages", f"messages/{sid}"):
        assert b"4155557788" not in admin.get(f"{HERE}/{path}").body
    reply = admin.post(f"{HERE}/reveal", {"reveal": "1", "back": f"messages/{sid}?x=1"})
    assert reply.headers["Location"] == f"{HERE}/messages/{sid}?x=1"
    for path in ("messages", f"messages/{sid}"):
        assert b"4155557788" in admin.get(f"{HERE}/{path}").body
        assert b"4155557788" not in other.get(f"{HERE}/{path}").body
    assert "console admin revealed addresses minutes: 10" in text_of(admin.get(f"{HERE}/changes"))
    admin.post(f"{HERE}/reveal", {"reveal": "0"})
    assert b"4155557788" not in admin.get(f"{HERE}/messages").body


def test_a_messages_page_shows_route_attempts_answer_and_neighbours(world: World, admin: Person) -> None:
    """A message's page shows its route, attempts, answers and its conversation, and can replay it."""
    script = {"/": answer(body=twiml("We are on it")), "/no": answer(410, b"<b>gone</b>")}
    with Target(script) as target:
        flow = world.flow(target.url("/"), friendly_name="Orders & more")
        first = world.text(flow, "+14155550133", Body="one").sid
        second = world.text(flow, "+14155550133", Body="two").sid
        no = world.flow(integration=Integration("external", url=target.url("/no"), retry_count=0))
        lost = world.ends(world.text(no).sid)["sid"]
        shown = text_of(admin.get(f"{HERE}/messages/{second}"))
        for part in (
            "Orders & more",
            f"Flow for {flow.contact_identity}:",
            "Attempt 1: delivered HTTP 200",
            "<Message>We are on it</Message>",
            "one",
            "this one",
        ):
            assert part in shown, part
        assert first in admin.get(f"{HERE}/messages/{second}").body.decode()
        failed = text_of(admin.get(f"{HERE}/messages/{lost}"))
        assert "Target's answer" in failed
        assert "<b>gone</b>" in failed
        reply = admin.post(f"{HERE}/messages/{second}/replay", {"route": "original"})
        assert "queued again" in text_of(admin.follow(reply))
        assert world.ends(second)["replays"] == 1
        assert arrived(target, "/").count(second) == 2
    assert f"replayed message: {second}" in text_of(admin.get(f"{HERE}/changes"))
    assert admin.get(f"{HERE}/messages/SM{'0' * 32}").status == 404
    assert admin.get(f"{HERE}/messages/{quote('<b>')}").status == 404


def test_what_cannot_be_replayed_says_why(world: World, admin: Person) -> None:
    """A replay of a queued message, or of one without a flow, is refused with the reason."""
    waiting = world.flow("http://127.0.0.1:9/", paused=True, friendly_name="Overnight")
    sid = world.text(waiting).sid
    refused = text_of(admin.follow(admin.post(f"{HERE}/messages/{sid}/replay")))
    assert "Not sent again: it already waits, is held, or is being sent." in refused
    assert "Overnight is paused" in text_of(admin.get(f"{HERE}/messages/{sid}"))
    stray = world.text("+15550009997").sid
    assert "no flow takes it now" in text_of(admin.follow(admin.post(f"{HERE}/messages/{stray}/replay")))


def test_hostile_text_is_shown_as_text(world: World, admin: Person) -> None:
    """Markup, templates and direction marks in a message, a flow or a query are shown as text."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name=HOSTILE[:80].replace("\u202e", ""), paused=True)
    sid = world.text(flow, Body=HOSTILE, ProfileName=HOSTILE).sid
    hostile = quote(HOSTILE)
    for path in (
        "messages",
        f"messages/{sid}",
        f"messages?error={hostile}&to={hostile}&status={hostile}",
        f"explain?to={flow.contact_identity}&body={hostile}&params={hostile}&flow={hostile}",
        f"messages/{sid}?notice={hostile}&why={hostile}",
        f"addresses/{flow.sid}",
        f"addresses/{flow.sid}/delete",
        "changes",
    ):
        page = admin.get(f"{HERE}/{path}").body.decode()
        assert "<script>alert" not in page, path
        assert "<img src=x" not in page, path
        assert "49" not in page.partition("{{ 7*7 }}")[0][-8:], path
        if "explain" not in path and "?" not in path:
            assert "\u202e" not in page, path
    assert "&lt;script&gt;alert(1)" in admin.get(f"{HERE}/messages/{sid}").body.decode()


def test_a_made_up_message_is_explained(world: World, admin: Person) -> None:
    """The explain page shows where a made-up message goes, and why another flow does not take it."""
    taken = world.flow("http://127.0.0.1:9/", friendly_name="Taken by this")
    elsewhere = world.flow("http://127.0.0.1:9/")
    query = {"to": taken.contact_identity, "body": "hi", "flow": elsewhere.sid}
    shown = text_of(admin.get(f"{HERE}/explain?{urlencode(query)}"))
    assert "Goes to Taken by this" in shown
    assert f"takes messages to {elsewhere.contact_identity}, not to {taken.contact_identity}" in shown
    assert "It takes this message" in text_of(admin.get(f"{HERE}/explain?{urlencode(query | {'flow': taken.sid})}"))
    assert "No flow takes it" in text_of(admin.get(f"{HERE}/explain?to=%2B15550004321"))
    presets = admin.get(f"{HERE}/explain").body.decode()
    assert all(f">{each.title}</a>" in presets for each in ALL.values())
    assert quote(elsewhere.contact_identity) in presets, "the examples use an address of the account"
    wrong = admin.get(f"{HERE}/explain?{urlencode(query | {'at': 'soon'})}")
    assert b'role="alert"' in wrong.body


def test_refused_requests_are_explained(world: World, admin: Person) -> None:
    """The signatures page shows the diagnosis of a refused request."""
    fields = world.fields("+15550001234")
    assert world.send("POST", "/webhooks/sms", urlencode(fields).encode(), {"X-Twilio-Signature": "bm8="}).status == 403
    assert "none of your keys" in text_of(admin.get(f"{HERE}/signatures"))


def test_a_live_list_is_304_until_something_changes(world: World, admin: Person) -> None:
    """A live list is 304 until a message arrives."""
    page = admin.get(f"{HERE}/messages")
    mark = {"X-Live": "1", "If-None-Match": page.headers["ETag"]}
    assert admin.get(f"{HERE}/messages", **mark).status == 304
    world.text("+15550009996", Body="news")
    fresh = admin.get(f"{HERE}/messages", **mark)
    assert fresh.status == 200
    assert b"news" in fresh.body
    assert len(fresh.body) < 60_000


def test_a_form_that_the_store_did_not_take_can_be_sent_again(world: World, admin: Person) -> None:
    """If the store does not answer, a form is 503 and its page can send it again."""
    back = {"reveal": "0", "back": "messages?error=<b>&x=1"}
    world.valkey.pause()
    try:
        away = admin.post(f"{HERE}/reveal", back)
    finally:
        world.valkey.resume()
    assert away.status == 503
    assert int(away.headers["Retry-After"])
    assert b"messages?error=&lt;b&gt;&amp;x=1" in away.body
    assert f'action="{HERE}/reveal"'.encode() in away.body
    assert admin.post(f"{HERE}/reveal", back).status == 303
