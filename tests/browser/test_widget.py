"""The chat widget in a real browser, on a website of another origin, with a real router."""

import gzip
import hmac
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, Request, Route, expect

from router.chat.token import Tokens
from router.flow.web_chat import WebChat
from router.store.chats import Chats
from router.store.client import Client
from tests.browser.shop import Shop, serving
from tests.e2e.service import ACCOUNT
from tests.e2e.world import Gate, Reply, World, twiml
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer
from tests.waiting import wait_until
from tests.web.visitor import web_flow

HANDLERS: Final = '[handlers]\necho = "router.demo:handle"\n'
SECRET: Final = "s" * 32
FORM: Final = """[
    {"name": "friendlyName", "type": "text", "label": {"en": "Name", "es": "Nombre"}, "required": true},
    {"name": "email", "type": "email", "label": {"en": "Email", "es": "Correo"}}
]"""
# A text as TwiML, and as it is shown: markup and unsafe URLs are text, and direction marks are removed.
HOSTILE: Final = (
    "&lt;img src=x onerror=alert(1)&gt; javascript:alert(2) \u202ehttps://shop.example/a?b=(1). http://u:p@x.example"
)
SHOWN: Final = "<img src=x onerror=alert(1)> javascript:alert(2) https://shop.example/a?b=(1). http://u:p@x.example"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router for all tests of this file, over its own store."""
    valkey = ValkeyServer()
    made = World(tmp_path_factory.mktemp("widget"), valkey, config=HANDLERS)
    yield made
    made.close()
    valkey.close()


@pytest.fixture(scope="module")
def shop(world: World) -> Iterator[Shop]:
    """A website that embeds the chat."""
    with serving(f"http://127.0.0.1:{world.services[0].port}") as site:
        yield site


def address(world: World, shop: Shop, url: str = "", chat: dict[str, Any] | None = None, **more: Any) -> str:
    """Make a web address that the website may embed, to `url` or to the handler `echo`; return its SID."""
    made = web_flow(world, url, web_chat=WebChat(allowed_origins=(shop.origin, shop.foreign), **(chat or {})), **more)
    return f"IG{made.sid[2:]}"


def signed(identity: str) -> str:
    """Sign an identity as the website's server does."""
    return hmac.new(SECRET.encode(), identity.encode(), "sha256").hexdigest()


def opened(page: Page, url: str) -> FrameLocator:
    """Open a page of the website and its chat; return the chat's frame."""
    page.goto(url)
    page.get_by_role("button", name="chat").click()
    return page.frame_locator("iframe")


def say(chat: FrameLocator, text: str) -> None:
    """Write a message and send it."""
    chat.locator("#body").fill(text)
    chat.locator("#body").press("Enter")


def shows(chat: FrameLocator, *wanted: str) -> None:
    """Wait until exactly these messages are shown in this order."""
    expect(chat.locator("#log div.text")).to_have_text(list(wanted), timeout=15_000)


def passes(page: Page, shown: Locator) -> None:
    """Advance the page's clock until an element is visible, letting the browser handle answers between steps."""

    def step() -> bool:
        page.clock.run_for(10_000)
        return shown.is_visible()

    wait_until(step, what="time has passed", within=20)


def session(page: Page) -> tuple[str, dict[str, str]]:
    """Return what the browser stores of the chat: the key, and the conversation's SID and token."""
    key = page.frames[1].evaluate("Object.keys(localStorage).find((key) => key.endsWith(':session'))")
    return key, json.loads(page.frames[1].evaluate("(key) => localStorage[key]", key))


def faults(page: Page, axe: str, frame: int = 1) -> list[str]:
    """Return what axe reports in a frame; frame 0 is the website's page."""
    page.frames[frame].evaluate(axe)
    found = page.frames[frame].evaluate("axe.run()")
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


def test_a_visitor_talks_in_two_languages(world: World, shop: Shop, new_page: Callable[..., Page], axe: str) -> None:
    """On a website with a strict policy a visitor chats by keyboard, in two languages, with a handler and a webhook."""
    gate = Gate(answer(body=twiml(HOSTILE)))
    with Target({"/es": gate}) as target:
        shared: dict[str, Any] = {
            "contact_identity": "web:shop",
            "chat": {"form": FORM, "greeting": '{"en": "Hi", "es": "Hola"}'},
        }
        ig = address(world, shop, language=("en",), **shared)
        address(world, shop, target.url("/es"), language=("es",), **shared)
        page = new_page(viewport={"width": 1000, "height": 800}, color_scheme="dark")
        page.goto(shop.page(ig, data_lang="en", data_form_friendly_name="Ana"))
        launcher = page.get_by_role("button", name="chat")
        expect(launcher).to_be_visible()
        page.evaluate("window.said = []")
        page.evaluate("for (const e of ['open', 'close', 'began', 'message']) routerChat.on(e, () => said.push(e))")
        for key in ("Tab", "Tab", "Enter"):
            page.keyboard.press(key)
        chat = page.frame_locator("iframe")
        expect(chat.get_by_label("Name")).to_be_focused()
        expect(chat.get_by_label("Name")).to_have_value("Ana")
        page.keyboard.press("Tab")
        page.keyboard.type("ana")
        page.keyboard.press("Enter")
        expect(chat.get_by_role("alert")).to_have_text("Please enter an email address.")
        assert faults(page, axe) == []
        page.keyboard.type("@example.com")
        page.keyboard.press("Enter")
        expect(chat.locator("#body")).to_be_focused()
        page.keyboard.type("hello")
        page.keyboard.press("Enter")
        shows(chat, "hello", "You wrote: hello")

        assert page.evaluate("said.join()") == "open,began,message"

        page = new_page(viewport={"width": 1000, "height": 800})
        chat = opened(page, shop.page(ig, data_lang="en", data_form_friendly_name="Ana", data_skip_form=""))
        launcher = page.locator("button[aria-expanded]")
        expect(chat.locator("#log")).to_contain_text("Hi")
        chat.get_by_label("Options").click()
        chat.get_by_label("Language").select_option("es")
        expect(chat.locator("#log")).to_contain_text("Hola")
        say(chat, "hola")
        gate.wait_for(1)
        chat.locator("#body").press("Escape")
        expect(launcher).to_be_focused()
        gate.open()
        expect(page.get_by_role("button", name="1 mensaje sin leer")).to_be_visible()
        page.keyboard.press("Enter")
        shows(chat, "hola", SHOWN)
        assert parse_qs(target.requests[0].body.decode())["Body"] == ["hola"]
        link = chat.locator("#log a")
        expect(link).to_have_attribute("href", "https://shop.example/a?b=(1")
        expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
        expect(page.get_by_role("button", name="sin leer")).to_have_count(0)
        assert faults(page, axe) == []
        assert faults(page, axe, 0) == []


def test_no_message_is_lost_or_doubled(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """After a lost answer, a killed router, a lost network or a reload each message is shown exactly once."""
    (service,) = world.services
    page = new_page()
    chat = opened(page, shop.page(address(world, shop)))

    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/chat/messages", hold, times=1)
    with page.expect_request("**/chat/messages"):
        say(chat, "one")
    expect(chat.get_by_text("Sending…")).to_be_visible()
    held[0].fetch()
    held[0].abort()
    shows(chat, "one", "You wrote: one")

    for process in service.workers():
        os.kill(process, signal.SIGSTOP)
    with page.expect_request("**/chat/messages"):
        say(chat, "two")
    service.kill()
    say(chat, "three")
    expect(chat.get_by_text("Connecting…")).to_be_visible()
    service.start()
    wanted = [f"{said}{text}" for text in ("one", "two", "three") for said in ("", "You wrote: ")]
    expect(chat.locator("#log div.text")).to_have_count(len(wanted), timeout=30_000)
    assert sorted(chat.locator("#log div.text").all_inner_texts()) == sorted(wanted)
    expect(chat.locator("#log .own .text")).to_have_text(["one", "two", "three"])

    page.context.set_offline(True)
    say(chat, "four")
    expect(chat.get_by_text("You are offline.")).to_be_visible()
    page.context.set_offline(False)
    expect(chat.locator("#log div.text").last).to_have_text("You wrote: four", timeout=15_000)
    expect(chat.locator("#log .own .text")).to_have_text(["one", "two", "three", "four"])

    before = chat.locator("#log div.text").all_inner_texts()
    page.reload()
    shows(page.frame_locator("iframe"), *before)


def test_the_widget_polls_where_streams_are_blocked(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """Where streams are blocked the widget polls; an unsent text is kept; a narrow window is covered by the chat."""
    page = new_page(viewport={"width": 360, "height": 640})
    page.clock.install()
    page.route("**/chat/events", lambda _: None)
    chat = opened(page, shop.page(address(world, shop)))
    assert page.evaluate("document.body.inert")
    with page.expect_request("**/chat/events"):
        say(chat, "one")
    expect(chat.get_by_text("Sent")).to_be_visible()
    passes(page, chat.get_by_text("You wrote: one"))
    shows(chat, "one", "You wrote: one")
    page.route("**/chat/messages", lambda route: route.abort())
    for text in ("two", "three"):
        say(chat, text)
    passes(page, chat.get_by_text("Not sent").last)
    expect(chat.get_by_text("Not sent")).to_have_count(2)
    page.unroute("**/chat/messages")
    chat.get_by_role("button", name="Try again").first.click()
    expect(chat.get_by_text("Sent", exact=True)).to_be_visible()
    say(chat, "four")
    for state in ("Not sent", "Sending…"):
        expect(chat.get_by_text(state)).to_have_count(0)
    expect(chat.locator("#log .own .text")).to_have_text(["one", "two", "three", "four"])
    page.route("**/chat/messages", lambda route: route.abort())
    say(chat, "five")
    world.rest("POST", f"/v1/Conversations/{session(page)[1]['sid']}", {"State": "closed"})
    passes(page, chat.get_by_text("This chat has ended."))
    expect(chat.locator("#body")).to_have_value("five")
    chat.get_by_role("button", name="Close chat").click()
    wait_until(lambda: not page.evaluate("document.body.inert"), what="the website can be used again")


def test_two_tabs_share_one_chat_and_one_stream(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """Two tabs show the same chat over one stream; when a tab is closed the other one continues."""
    first = new_page()
    url = shop.page(address(world, shop))
    streams = 0

    def count(request: Request, by: int) -> None:
        nonlocal streams
        streams += by if request.url.endswith("/chat/events") else 0

    first.context.on("request", lambda request: count(request, 1))
    first.context.on("requestfinished", lambda request: count(request, -1))
    first.context.on("requestfailed", lambda request: count(request, -1))
    chat = opened(first, url)
    say(chat, "one")
    shows(chat, "one", "You wrote: one")
    second = first.context.new_page()
    other = opened(second, url)
    shows(other, "one", "You wrote: one")
    say(other, "two")
    shows(other, "one", "You wrote: one", "two", "You wrote: two")
    shows(chat, "one", "You wrote: one", "two", "You wrote: two")
    assert streams == 1
    second.close()
    say(chat, "three")
    shows(chat, "one", "You wrote: one", "two", "You wrote: two", "three", "You wrote: three")


def test_what_an_agent_and_the_visitor_see_of_each_other(
    world: World, shop: Shop, new_page: Callable[..., Page]
) -> None:
    """All tabs show the agent's messages, changes, read mark and typing; the visitor can download and end the chat."""
    page = new_page()
    url = shop.page(address(world, shop), data_form_friendly_name="Ana", data_skip_form="")
    chat = opened(page, url)
    say(chat, "one")
    shows(chat, "one", "You wrote: one")
    sid = session(page)[1]["sid"]
    conversation = f"/v1/Conversations/{sid}"
    visitor = world.rest("GET", f"{conversation}/Participants").json["participants"][0]["identity"]

    world.rest("POST", f"{conversation}/Messages", {"Author": "Bea", "Body": "Ana?"})
    shows(chat, "one", "You wrote: one", "Ana?")
    expect(chat.locator("#log .by").last).to_contain_text("Bea")
    seen = f"{conversation}/Participants/{visitor}"
    wait_until(lambda: world.rest("GET", seen).json["last_read_message_index"] == 2, what="the visitor has read")
    world.rest("POST", f"{conversation}/Participants", {"Identity": "Bea"})
    expect(chat.get_by_text("Sent", exact=True)).to_be_visible()
    world.rest("POST", f"{conversation}/Participants/Bea", {"LastReadMessageIndex": "2"})
    expect(chat.get_by_text("Read", exact=True)).to_be_visible()

    assert world.rest("POST", f"{conversation}/Participants/Bea", {"Typing": "true"}).status == 200
    expect(chat.get_by_text("Bea is typing…")).to_be_visible()

    other = opened(page.context.new_page(), url)
    shows(other, "one", "You wrote: one", "Ana?")
    page.bring_to_front()
    wrong = world.rest("POST", f"{conversation}/Messages", {"Author": "Bea", "Body": "Any?"}).json["sid"]
    shows(chat, "one", "You wrote: one", "Ana?", "Any?")
    world.rest("POST", f"{conversation}/Messages/{wrong}", {"Body": "Anything?"})
    for tab in (chat, other):
        shows(tab, "one", "You wrote: one", "Ana?", "Anything?")
    world.rest("DELETE", f"{conversation}/Messages/{wrong}")
    for tab in (chat, other):
        shows(tab, "one", "You wrote: one", "Ana?")
    chat.get_by_label("Options").click()
    with page.expect_download() as download:
        chat.get_by_role("button", name="Download").click()
    assert "Bea: Ana?" in download.value.path().read_text()
    chat.get_by_label("Options").click()
    chat.get_by_role("button", name="End chat").click()
    chat.get_by_role("dialog").get_by_role("button", name="End chat").click()
    for tab in (chat, other):
        expect(tab.get_by_text("This chat has ended.")).to_be_visible()
    assert world.rest("GET", conversation).json["state"] == "closed"
    chat.get_by_role("button", name="Start a new chat").click()
    say(chat, "again")
    for tab in (chat, other):
        shows(tab, "again", "You wrote: again")


def test_an_expired_token_is_renewed_and_a_limit_keeps_the_text(
    world: World, shop: Shop, new_page: Callable[..., Page]
) -> None:
    """An expired token is renewed, a very old one resumes the chat, and a text beyond the limit is kept."""
    page = new_page()
    url = shop.page(address(world, shop))
    chat = opened(page, url)
    say(chat, "one")
    shows(chat, "one", "You wrote: one")
    key, kept = session(page)
    client = Client(world.valkey.url, call_seconds=5)
    tokens = Tokens(Chats(client, retention_seconds=3600).keys)
    visitor = tokens.read(kept["token"], time.time())
    expired, ancient = (tokens.write(visitor, time.time() - hours * 3600)[0] for hours in (2, 48))
    client.close()

    def reload_with(token: str) -> FrameLocator:
        put = "([key, session]) => { localStorage[key] = JSON.stringify(session) }"
        page.frames[1].evaluate(put, [key, kept | {"token": token}])
        return opened(page, url)

    shows(reload_with(expired), "one", "You wrote: one")
    chat = reload_with(ancient)
    say(chat, "two")
    shows(chat, "one", "You wrote: one", "two", "You wrote: two")

    flood = """async (key) => {
        const headers = { Authorization: `Bearer ${JSON.parse(localStorage[key]).token}` };
        for (let n = 0; n < 30; n += 1) {
            const body = JSON.stringify({ client_message_id: `${n}`, body: `${n}` });
            await fetch("messages", { method: "POST", headers, body });
        }
    }"""
    page.frames[1].evaluate(flood, key)
    say(chat, "kept")
    expect(chat.get_by_text("Too many messages. Sending again in")).to_be_visible()
    expect(chat.locator("#log .own .text").last).to_have_text("kept")
    page.reload()
    expect(page.frame_locator("iframe").locator("#log .own .text").last).to_have_text("kept")


def test_signed_visitors_of_one_browser(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """Each signed visitor in one browser gets their own chat, and finds it again; a wrong signature is refused."""
    ig = address(world, shop, chat={"require_identity": True, "identity_secret": SECRET})
    page = new_page()
    ana, bea = (shop.page(ig, data_identity=who, data_identity_hash=signed(who)) for who in ("ana", "bea"))
    say(opened(page, ana), "from Ana")
    shows(page.frame_locator("iframe"), "from Ana", "You wrote: from Ana")
    chat = opened(page, bea)
    expect(chat.locator("#body")).to_be_focused()
    shows(chat)
    say(chat, "from Bea")
    shows(chat, "from Bea", "You wrote: from Bea")
    shows(opened(page, ana), "from Ana", "You wrote: from Ana")
    say(opened(page, shop.page(ig, data_identity="bea", data_identity_hash=signed("eve"))), "from Eve")
    expect(page.frame_locator("iframe").get_by_text("This chat may not be used on this site.")).to_be_visible()


def test_a_page_of_another_site_with_twilios_options(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """If the browser stores nothing the chat works and says so; initWebchat takes the options of Twilio's React app."""
    page = new_page()
    page.goto(shop.page("", foreign=True))
    page.wait_for_function("window.Twilio")
    colours = {"backgroundColors": {"colorBackgroundPrimary": "rgb(255, 255, 0)"}}
    options = {
        "addressSid": address(world, shop, chat={"require_identity": True, "identity_secret": SECRET}),
        "identity": "customer-7",
        "identityHash": signed("customer-7"),
        "serverUrl": "https://example.com",
        "theme": {"isLight": False, "overrides": colours},
        "transcript": {"downloadEnabled": False},
        "texts": {"title": "Ask us"},
        "openAfter": 0.1,
    }
    page.evaluate("(options) => { Twilio.initWebchat(options) }", options)
    chat = page.frame_locator("iframe")
    expect(chat.get_by_role("heading", name="Ask us")).to_be_visible()
    expect(chat.get_by_role("status")).to_contain_text("It ends when you leave the page.")
    say(chat, "one")
    shows(chat, "one", "You wrote: one")
    expect(chat.locator(":root")).to_have_attribute("data-theme", "dark")
    expect(chat.locator("header")).to_have_css("background-color", "rgb(255, 255, 0)")
    expect(chat.locator("header")).to_have_css("color", "rgb(0, 0, 0)")
    chat.get_by_label("Options").click()
    expect(chat.get_by_text("Download")).to_be_hidden()
    page.evaluate("routerChat.close()")
    expect(page.get_by_role("button", name="Open chat")).to_be_visible()

    chat = opened(page, shop.page("IG" + "0" * 32))
    expect(chat.get_by_text("This chat is not available.")).to_be_visible()


def test_a_website_that_may_not_embed_the_chat_shows_no_button(
    world: World, shop: Shop, new_page: Callable[..., Page]
) -> None:
    """A website that may not embed the chat shows no button and starts no chat; the browser's console says why."""
    allowed = web_flow(world, web_chat=WebChat(allowed_origins=(shop.origin,)))
    page = new_page(viewport={"width": 400, "height": 600})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_console_message(lambda message: "may not embed" in message.text) as found:
        page.goto(shop.page(f"IG{allowed.sid[2:]}", foreign=True, data_open_after="0"))
    assert found.value.type == "error"
    assert f"{shop.foreign} may not embed it. Add this origin to WebChat.AllowedOrigins" in found.value.text
    page.evaluate("routerChat.open()")
    page.get_by_role("button", name="Buy").click()
    expect(page.get_by_role("button", name="chat")).to_have_count(0)
    assert page.evaluate("[routerChat.isOpen(), document.body.inert]") == [False, False]
    assert [each.partition("?")[0] for each in asked if "/chat/" in each] == [
        f"{shop.router}/chat/{name}.js" for name in ("widget", "embed")
    ]


def test_open_works_without_the_answer_of_embed_js(world: World, shop: Shop, new_page: Callable[..., Page]) -> None:
    """`open` works although the router has not answered whether the website may embed the chat."""
    page = new_page()
    page.route("**/embed.js?*", lambda route: route.abort())
    page.goto(shop.page(""))
    page.evaluate("(address) => Twilio.initWebchat({ address }).open()", address(world, shop))
    expect(page.frame_locator("iframe").locator("#body")).to_be_visible()


def test_the_test_page_with_and_without_javascript(
    world: World, shop: Shop, new_page: Callable[..., Page], axe: str
) -> None:
    """The test page talks to its own flow in any language; without JavaScript it posts a form."""
    flow = web_flow(world, language=("en",), form=FORM)
    url = f"{shop.router}/chat?accountSid={ACCOUNT}&flexFlowSid={flow.sid}&lang=ar"
    page = new_page(locale="ar", viewport={"width": 800, "height": 600})
    page.goto(url)
    expect(page.locator(":root")).to_have_attribute("dir", "rtl")
    page.get_by_label("Name").fill("أحمد")
    page.get_by_role("button", name="بدء الدردشة").click()
    page.locator("#body").fill("مرحبا")
    page.locator("#body").press("Enter")
    expect(page.locator("#log div.text")).to_have_text(["مرحبا", "You wrote: مرحبا"])
    assert faults(page, axe, 0) == []

    plain = new_page(java_script_enabled=False)
    plain.goto(url.replace("=ar", "=es"))
    plain.get_by_label("Nombre").fill("Ana")
    plain.get_by_label("Escriba un mensaje").fill("<b>hola</b>")
    plain.get_by_role("button", name="Enviar").click()
    expect(plain.locator("#plain div.text")).to_have_text(["<b>hola</b>", "You wrote: <b>hola</b>"])
    plain.get_by_label("Escriba un mensaje").fill("adiós")
    plain.get_by_role("button", name="Enviar").click()
    expect(plain.locator("#plain div.text").last).to_have_text("You wrote: adiós")
    expect(plain.get_by_label("Nombre")).to_have_count(0)


def test_files_are_compressed_and_cached_and_the_page_keeps_a_refused_text(world: World, shop: Shop) -> None:
    """Files are compressed and cached by hash; the frame's policy lists the websites; a refused form keeps its text."""
    ig = address(world, shop, chat={"form": FORM})

    def get(path: str, **headers: str) -> Reply:
        return world.send("GET", path, b"", headers)

    frame = get(f"/chat/frame?address={ig}")
    assert f"frame-ancestors 'self' {shop.origin} {shop.foreign}" in frame.headers["Content-Security-Policy"]
    script = re.search(rb'src="(/chat/static/\w+/frame.js)"', frame.body)
    assert script is not None
    path = script[1].decode()
    packed = get(path, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == get(path).body
    assert "immutable" in packed.headers["Cache-Control"]
    assert get("/chat/static/old/frame.js").headers["Cache-Control"] == "no-store"
    assert get("/chat/static/old/none.js").status == 404
    loader = get("/chat/widget.js")
    assert get("/chat/widget.js", If_None_Match=loader.headers["ETag"]).status == 304

    page = f"/chat?accountSid={ACCOUNT}&flexFlowSid=FO{ig[2:]}"
    assert b'<html lang="zh-Hant" dir="ltr">' in get(page, Accept_Language="zh-TW, en;q=0.5").body
    assert b'<html lang="he" dir="rtl">' in get(f"{page}&lang=he", Accept_Language="es").body
    form = urlencode({"accountSid": ACCOUNT, "flexFlowSid": f"FO{ig[2:]}", "form.email": "<e>", "body": "<b>"})
    refused = world.send("POST", "/chat", form.encode(), {})
    assert refused.status == 400
    assert b"friendlyName: is required" in refused.body
    assert b"&lt;e&gt;" in refused.body
    assert b"&lt;b&gt;</textarea>" in refused.body
