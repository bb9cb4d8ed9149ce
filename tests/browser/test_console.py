import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from router.flow.flex_flow import Integration
from tests.browser.front import Front
from tests.e2e.service import ACCOUNT, BASE
from tests.e2e.world import World, arrived, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.console import CONSOLE, HERE, PASSWORD

Pages = Callable[..., Page]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> \u202e &amp; שלום"
WHATSAPP = "whatsapp:+14155238886"
THE_OTHER = "whatsapp:+14155238887"


@pytest.fixture(scope="module")
def fronts() -> Iterator[dict[str, Front]]:
    """Two further ways to the router, by base URL: through a proxy with TLS, and by plain HTTP at a network name."""
    tls, plain = Front(tls=True), Front(tls=False)
    yield {f"https://router.example.com:{tls.port}": tls, f"http://router.lan:{plain.port}": plain}
    tls.close()
    plain.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, fronts: dict[str, Front]) -> Iterator[World]:
    """One router with a console."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONSOLE, ROUTER_PUBLIC_URL=",".join((BASE, *fronts)))
    for front in fronts.values():
        front.to = world.services[0].port
    yield world
    world.close()
    valkey.close()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A target with one path that answers and one that fails."""
    with Target({"/up": answer(body=twiml("We are on it")), "/down": answer(500, b"down")}) as running:
        yield running


def base(world: World, host: str = "localhost") -> str:
    """Return the router's URL for a browser."""
    return f"http://{host}:{world.services[0].port}"


def sign_in(page: Page, world: World, at: str = "") -> Page:
    """Open the console and sign in with the keyboard only."""
    page.goto(f"{at or base(world)}/console/")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    return page


def whatsapp(world: World, ours: str, theirs: str, body: str) -> str:
    """Send a WhatsApp message; return its SID once its delivery has ended."""
    reply = world.post(world.fields(ours, theirs, Body=body), path="/webhooks/whatsapp")
    return str(world.ends(reply.sid)["sid"])


def test_every_page_is_accessible_narrow_small_and_safe(
    world: World, target: Target, new_page: Pages, axe: str
) -> None:
    """Each page passes axe, fits 320 px, has less than 40 KB with its files, and runs no script of a customer."""
    flow = world.flow(target.url("/up"), friendly_name=HOSTILE.replace("\u202e", ""))
    sid = world.ends(world.text(flow, "+14155550111", Body=HOSTILE, ProfileName=HOSTILE).sid)["sid"]
    down = world.flow(integration=Integration("external", url=target.url("/down"), retry_count=0))
    world.ends(world.text(down, Body=HOSTILE).sid)
    to = world.flow(
        target.url("/up"), contact_identity=flow.contact_identity, friendly_name=HOSTILE[:40], match="false"
    )
    flow = world.change(flow, migrate_to=to.sid, migrate_percent=30)
    web = world.flow(channel_type="web", contact_identity="web:IG" + "7" * 32, url=target.url("/up"))
    dialogs: list[Dialog] = []
    page = new_page(viewport={"width": 320, "height": 800}, color_scheme="dark")
    page.on("dialog", lambda dialog: dialogs.append(dialog))  # noqa: PLW0108 - it looks at the function
    page.goto(f"{base(world)}/console/")
    page.evaluate(axe)
    assert violations(page) == []
    sign_in(page, world)
    for path in (
        "",
        "messages",
        f"messages/{sid}",
        "dead-letters",
        "addresses",
        f"addresses/{flow.sid}",
        f"addresses/{web.sid}/edit",
        f"addresses/{flow.sid}/delete",
        f"explain?to={quote(flow.contact_identity)}&body={quote(HOSTILE)}",
        "contacts?identity=%2B14155550111",
        "chats",
        f"addresses/{web.sid}",
        "migration",
        f"migration/{flow.sid}",
        f"migration/{down.sid}",
        "signatures",
        "health",
        "changes",
        "settings",
        "nothing-here",
    ):
        response = page.goto(f"{base(world)}{HERE}/{path}")
        assert response is not None
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
        tables = page.evaluate(
            "[...document.querySelectorAll('.table')].map(each => each.scrollWidth - each.clientWidth)"
        )
        assert all(over <= 0 for over in tables), path
        weight = len(gzip.compress(response.body()))
        assert weight < 20_000, path
        page.evaluate(axe)
        assert violations(page) == [], path
    files = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert all(name.startswith(base(world)) for name in files)
    sizes = [len(gzip.compress(page.request.get(name).body())) for name in set(files)]
    assert sum(sizes) < 20_000
    assert not dialogs


def goes_to(world: World, message: dict[str, str]) -> str | None:
    """Return the flow of a message by /v1/Routes; None while some process does not read its languages yet."""
    found = world.rest("POST", "/v1/Routes", message).json
    route: str | None = found["flex_flow_sid"]
    return None if any("so far" in step for step in found["steps"]) else route


def violations(page: Page) -> list[Any]:
    """Return what axe reports for a page."""
    found = page.evaluate("axe.run().then(found => found.violations.map(each => [each.id, each.nodes[0].html]))")
    assert isinstance(found, list)
    return found


def test_a_lost_message_is_found_and_sent_again_without_javascript(
    world: World, target: Target, new_page: Pages
) -> None:
    """Without JavaScript a message is found by its sender, its addresses are shown, and it is sent again."""
    world.flow(target.url("/up"), contact_identity=WHATSAPP, channel_type="whatsapp")
    sid = whatsapp(world, WHATSAPP, "whatsapp:+34600111222", "¿Dónde está mi pedido?")
    page = sign_in(new_page(java_script_enabled=False), world)
    page.get_by_role("link", name="Messages", exact=True).click()
    page.get_by_label("From").fill("+34600111222")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("¿Dónde está mi pedido?")).to_be_visible()
    assert "from=%2B34600111222" in page.url
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Answered by webhook")).to_be_visible()
    expect(page.get_by_text("whatsapp:+34•••22").first).to_be_visible()
    page.get_by_role("button", name="Show addresses").click()
    expect(page.get_by_text("whatsapp:+34600111222").first).to_be_visible()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_have_text("The message is queued again.")
    assert world.ends(sid)["replays"] == 1
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{base(world)}{HERE}/messages/{sid}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_flow_is_copied_and_given_a_language_by_keyboard(world: World, target: Target, new_page: Pages) -> None:
    """With the keyboard alone a flow is copied, given a language, previewed and saved, and gets the next message."""
    english = world.flow(
        target.url("/up"), friendly_name="Support", contact_identity=THE_OTHER, channel_type="whatsapp"
    )
    whatsapp(
        world, THE_OTHER, "whatsapp:+34600111333", "Buenos días, quisiera cambiar la dirección de mi pedido, por favor"
    )
    page = sign_in(new_page(), world)
    page.goto(f"{base(world)}{HERE}/addresses/{english.sid}")
    page.get_by_role("link", name="Copy as new").press("Enter")
    expect(page.get_by_label("Name")).to_have_value("")
    page.get_by_label("Name").focus()
    page.keyboard.type("Soporte")
    expect(page.get_by_label("Studio flow")).to_have_count(0)
    expect(page.locator('[name="Integration.FlowSid"]')).to_be_hidden()
    page.locator('[name="Language"]').focus()
    page.keyboard.type("spanish!")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator('[id="h-Language"]')).to_contain_text("45210")
    expect(page.locator('[name="FriendlyName"]')).to_have_value("Soporte")
    page.locator('[name="Language"]').fill("es")
    page.get_by_role("button", name="Preview").press("Enter")
    expect(page.get_by_role("heading", name="What this would do")).to_be_visible()
    expect(page.get_by_text("of the last hour's")).to_be_visible()
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("status").first).to_have_text("The flow is created.")
    sid = page.url.partition("addresses/")[2].partition("?")[0]
    text = {"From": "whatsapp:+34600111444", "To": THE_OTHER, "Body": "Hola, ¿me pueden decir dónde está mi paquete?"}
    wait_until(lambda: goes_to(world, text) == sid, what="Spanish is read", within=60)
    reply = world.post(
        world.fields(THE_OTHER, text["From"], Body=text["Body"]),
        path="/webhooks/whatsapp",
    )
    assert world.ends(reply.sid)["flex_flow_sid"] == sid
    page.goto(f"{base(world)}{HERE}/messages/{reply.sid}")
    expect(page.get_by_role("link", name="Soporte").first).to_be_visible()


def test_dead_letters_of_a_failed_target_are_replayed(world: World, target: Target, new_page: Pages) -> None:
    """The dead letters of a failed target are grouped, counted by a dry run, and replayed with visible progress."""
    flow = world.flow(integration=Integration("external", url=target.url("/down"), retry_count=0))
    sids = [world.text(flow, f"+1415556{n % 7:04d}", Body=f"invoice {n}").sid for n in range(60)]
    for sid in sids:
        world.ends(sid)
    page = sign_in(new_page(), world)
    expect(page.get_by_text("undelivered").first).to_be_visible()
    page.get_by_role("link", name="See the dead letters").first.click()
    group = page.get_by_role("row").filter(has=page.get_by_role("cell", name="60", exact=True))
    expect(group).to_contain_text("7")
    world.change(flow, integration=replace(flow.integration, url=target.url("/up")))
    group.get_by_role("link").first.click()
    page.get_by_role("button", name="Replay all 60").click()
    expect(page.get_by_role("heading", name="Replay 60 messages?")).to_be_visible()
    expect(page.get_by_text("in 7 conversations")).to_be_visible()
    page.get_by_label("Messages per second").fill("60")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("60 of 60")).to_be_visible(timeout=15_000)  # the page updates itself
    expect(page.locator("h1")).to_contain_text("Replay of 60 messages")
    for sid in sids:
        assert world.ends(sid)["status"] == "delivered"
    assert len([sid for sid in arrived(target, "/up") if sid in sids]) == 60


def test_the_list_updates_itself_and_keys_lead_to_actions(world: World, target: Target, new_page: Pages) -> None:
    """A new message appears in the list by itself; keys lead to the search, a page's action and the help."""
    flow = world.flow(target.url("/up"))
    page = sign_in(new_page(), world)
    page.goto(f"{base(world)}{HERE}/messages")
    first = world.ends(world.text(flow, Body="first news").sid)["sid"]
    expect(page.get_by_text("first news")).to_be_visible(timeout=10_000)
    page.keyboard.press("/")
    expect(page.get_by_label("Message SID")).to_be_focused()
    page.get_by_label("Message SID").fill(first)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/messages/{first}")
    page.keyboard.press("r")
    expect(page.get_by_role("button", name="Send again")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_page_of_a_waiting_message_shows_its_delivery(world: World, target: Target, new_page: Pages) -> None:
    """While a message waits, its page is up to date by itself, and has the buttons for a delivered one at the end."""
    flow = world.flow(target.url("/up"), paused=True)
    sid = world.text(flow).sid
    page = sign_in(new_page(), world)
    page.clock.install()
    page.goto(f"{base(world)}{HERE}/messages/{sid}")
    expect(page.get_by_text("is paused").first).to_be_visible()
    world.change(flow, paused=False)
    world.ends(sid)
    passes(page, page.get_by_role("button", name="Send again"))
    expect(page.locator("h1")).to_contain_text("delivered")
    expect(page.get_by_role("heading", name="Attempt 1: delivered")).to_be_visible()


def test_a_paused_or_scrolled_list_keeps_its_rows(world: World, target: Target, new_page: Pages) -> None:
    """While the list is paused or scrolled its rows stay; a button, or scrolling back, shows the new messages."""
    flow = world.flow(target.url("/up"))
    for number in range(30):
        world.text(flow, Body=f"row {number}")
    page = sign_in(new_page(viewport={"width": 1000, "height": 500}), world)
    page.clock.install()
    page.goto(f"{base(world)}{HERE}/messages?flow={flow.sid}")
    rows = page.locator("tbody tr")
    pause, news = page.get_by_role("button", name="Pause"), page.get_by_role("button", name="Show new")
    expect(rows).to_have_count(30)

    def meanwhile(*texts: str, shown: Locator) -> None:
        for text in texts:
            world.text(flow, Body=text)
        passes(page, shown)

    expect(pause).to_have_attribute("aria-pressed", "false")
    pause.focus()
    page.keyboard.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "true")
    meanwhile("paused 1", "paused 2", shown=page.get_by_role("button", name="Show new messages (2)"))
    expect(rows).to_have_count(30)
    page.keyboard.press("Enter")
    expect(page.get_by_text("paused 2")).to_be_visible()
    expect(news).to_be_hidden()
    page.evaluate("scrollTo(0, 900)")
    meanwhile("scrolled", shown=page.get_by_role("button", name="Show new messages (1)"))
    expect(rows).to_have_count(32)
    news.click()
    expect(rows.first).to_contain_text("scrolled")
    expect(rows.first).to_be_in_viewport()
    expect(pause).to_be_focused()
    meanwhile("alive", shown=page.get_by_text("alive"))
    page.evaluate("scrollTo({top: 900, behavior: 'instant'})")
    meanwhile("below", shown=page.get_by_role("button", name="Show new messages (1)"))
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    meanwhile(shown=page.get_by_text("below"))


def passes(page: Page, shown: Locator) -> None:
    """Advance the page's clock until an element is visible, letting the browser handle answers between steps."""

    def step() -> bool:
        page.clock.run_for(4000)
        return shown.is_visible()

    wait_until(step, what="time has passed", within=20)


def test_a_form_on_another_site_changes_nothing(world: World, new_page: Pages) -> None:
    """A form on another site changes nothing despite the session's cookie; an ended session needs the password."""
    page = sign_in(new_page(), world)
    evil = page.context.new_page()
    evil.goto(f"{base(world, '127.0.0.1')}/healthz")
    action = f"{base(world)}{HERE}/reveal"
    evil.set_content(f'<form method="post" action="{action}"><input name="reveal" value="1"><button>Go</button></form>')
    evil.get_by_role("button").click()
    evil.wait_for_url("**/reveal")
    expect(evil.get_by_role("heading", name="Not from this page")).to_be_visible()
    page.goto(f"{base(world)}{HERE}/settings")
    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{base(world)}{HERE}/changes")
    page.get_by_label("Password").fill("wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("This is not one of the passwords.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Changes")).to_be_visible()
    expect(page.get_by_text("signed out everywhere").first).to_be_visible()
    assert ACCOUNT in page.url


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_the_console_over_tls_and_over_plain_http(
    world: World, fronts: dict[str, Front], new_page: Pages, scheme: str
) -> None:
    """Over TLS the cookie is Secure with the __Host- prefix; over plain HTTP the console works too, with a warning."""
    (here,) = (each for each in fronts if each.startswith(f"{scheme}:"))
    page = new_page(ignore_https_errors=True)
    sign_in(page, world, here)
    (cookie,) = page.context.cookies()
    flags = {"https": ("__Host-router", True, "Lax"), "http": ("router_session", False, "Strict")}[scheme]
    assert (cookie["name"], cookie["secure"], cookie["sameSite"]) == flags
    assert (cookie["httpOnly"], cookie["path"], cookie["domain"]) == (True, "/", urlsplit(here).hostname)
    expect(page.get_by_text("This page was sent over plain HTTP")).to_have_count(int(scheme == "http"))
    page.get_by_role("button", name="Show addresses").click()
    expect(page.get_by_role("button", name="Hide addresses")).to_be_visible()
    evil = page.context.new_page()
    evil.goto(f"{base(world, '127.0.0.1')}/healthz")
    evil.set_content(f'<form method="post" action="{here}{HERE}/reveal"><button>Go</button></form>')
    evil.get_by_role("button").click()
    expect(evil.get_by_role("heading", name="Not from this page")).to_be_visible()
    evil.goto(f"{here.replace('router', 'other')}/console/")
    expect(evil.get_by_role("heading", name="Unknown host name")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
