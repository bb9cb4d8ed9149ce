import time
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.messaging_response import MessagingResponse

from router.message.twiml import (
    _XML_DECLARATION,
    EMPTY_TWIML,
    MAX_BYTES,
    Answer,
    Excerpt,
    NotTwiml,
    excerpt_of,
    twiml_of,
)

URL = "https://target.example/bot/answer?lang=es"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>'
HELLO = DECLARATION + b"<Response><Message>Hello</Message></Response>"


def relayed(body: bytes, content_type: str = "text/xml", status: int = 200, url: str = URL) -> bytes | None:
    """Return the TwiML that Twilio gets for an answer, None for none."""
    try:
        twiml = twiml_of(Answer(status, content_type, body, url))
    except NotTwiml:
        return None
    return twiml.xml if twiml else None


def parsed(twiml: bytes | None) -> ET.Element:
    """Parse the TwiML that Twilio gets."""
    assert twiml is not None
    return ET.fromstring(twiml)  # noqa: S314 - what the router itself would send


def test_a_cached_answer_depends_on_its_url_and_charset() -> None:
    """The same body from another target, or with another charset, is parsed again."""
    body = b"<Response><Redirect>next</Redirect></Response>"
    for _ in range(2):
        for host in ("a", "b"):
            said = parsed(relayed(body, url=f"https://{host}.example/bot/answer"))
            assert said[0].text == f"https://{host}.example/bot/next"
    latin = "<Response><Message>é</Message></Response>".encode("latin-1")
    assert relayed(latin, "text/xml") is None
    assert parsed(relayed(latin, "text/xml; charset=latin1"))[0].text == "é"
    assert relayed(latin, "text/xml") is None


@pytest.mark.parametrize(
    "content_type",
    ["text/xml", "application/xml", "text/html; charset=utf-8", "TEXT/XML;charset=UTF-8", "application/twiml+xml"],
)
def test_twiml_stays_as_it_is(content_type: str) -> None:
    """TwiML is relayed byte for byte, with every content type in which Twilio reads it."""
    assert relayed(HELLO, content_type) == HELLO


@pytest.mark.parametrize(
    "body",
    [
        b"<Response/>",
        EMPTY_TWIML,
        b"<?xml version='1.0'?>\n<!-- note -->\n<Response>\n  <Message>a &amp; b &#x1F335;</Message>\n</Response>\n",
        b'<Response><Message action="https://a.example/x" to="+1">x<Media>http://a.example/y.png</Media></Message></Response>',
        "<Response><Message>José 🌵 <![CDATA[<b>]]></Message></Response>".encode(),
        b"\xef\xbb\xbf<Response/>",
        b'<Response><Message action="" statusCallback=" "><Media/></Message></Response>',
    ],
    ids=["bare", "empty", "comment", "absolute-urls", "cdata", "byte-order-mark", "empty-urls"],
)
def test_twiml_without_relative_urls_is_not_changed(body: bytes) -> None:
    """White space, comments, quotes and entities stay unchanged if no URL is relative."""
    assert relayed(body) == body


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_every_2xx_is_relayed(status: int) -> None:
    """TwiML with any 2xx status is relayed."""
    assert relayed(HELLO, status=status) == HELLO


@pytest.mark.parametrize("status", [100, 199, 204, 301, 302, 400, 404, 500, 503])
def test_no_other_status_is_relayed(status: int) -> None:
    """An answer with another status is not relayed."""
    assert relayed(b"" if status == 204 else HELLO, status=status) is None


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/css", "image/png", ";", "text", "text/xml; charset=utf-7"]
)
def test_no_other_content_type_is_relayed(content_type: str) -> None:
    """An answer of another content type or with an unsupported charset is not relayed."""
    assert relayed(HELLO, content_type) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<Response>",
        b"<response/>",
        b"<html><body>It works</body></html>",
        b"<Response/><Response/>",
        b"\n<?xml version='1.0'?><Response/>",
        b'<Response xmlns="urn:x"/>',
        b"<Response>\xff</Response>",
        b"<Response>\x00</Response>",
        b"<Response>&nbsp;</Response>",
        b"<Response><Redirect>//[</Redirect></Response>",
        '<?xml version="1.0" encoding="UTF-16"?><Response/>'.encode("utf-16"),
    ],
)
def test_an_answer_that_is_not_twiml_is_not_relayed(body: bytes) -> None:
    """An answer that is not a valid <Response> document is not relayed."""
    assert relayed(body) is None


REASONS = {
    "another status": (Answer(404, "text/xml", HELLO, URL), "its status is 404"),
    "JSON": (Answer(200, "application/json; charset=utf-8", b'{"to": "Zo\xc3\xab"}', URL), "it is application/json"),
    "no type": (Answer(200, "", b"Zoe", URL), "it has no Content-Type"),
    "a web page": (
        Answer(200, "text/html", b"<!DOCTYPE html><html/>", URL),
        "it has a DOCTYPE",
    ),
    "another root": (Answer(200, "text/xml", b"<html>Zoe</html>", URL), "its root is <html>, not <Response>"),
    "no XML": (
        Answer(200, "text/xml", b"<Response>&Zoe;</Response>", URL),
        "it is not XML: undefined entity, line 1, column 10",
    ),
    "another charset": (
        Answer(200, "text/xml; charset=utf-7", HELLO, URL),
        "its charset is not supported: 'utf-7'",
    ),
    "not its charset": (
        Answer(200, "text/xml", b"<Response>\xff</Response>", URL),
        "it is not in the charset that it names, or not in UTF-8",
    ),
    "no URL": (Answer(200, "text/xml", b"<Response><Redirect>//[</Redirect></Response>", URL), "it has an invalid URL"),
    "too long": (Answer(200, "text/plain", b"x" * (MAX_BYTES + 1), URL), "it is over 64 KiB"),
    "too deep": (Answer(200, "text/xml", b"<Response>" + b"<a>" * 20 + b"</a>" * 20 + b"</Response>", URL), "deep"),
    "not whole": (Answer(200, "", b"", URL, flaw="it did not come whole"), "it did not come whole"),
}


@pytest.mark.parametrize(("answer", "reason"), REASONS.values(), ids=REASONS.keys())
def test_the_reason_why_an_answer_is_not_twiml(answer: Answer, reason: str) -> None:
    """The reason why an answer is not TwiML quotes nothing of it, so it can be logged."""
    with pytest.raises(NotTwiml) as caught:
        twiml_of(answer)
    assert reason in str(caught.value)
    assert "Zo" not in str(caught.value)


def test_an_excerpt_has_the_type_and_500_characters() -> None:
    """An excerpt has the answer's content type and its first 500 characters; of a picture only the type."""
    assert excerpt_of("text/html", "é".encode() * 600) == Excerpt("text/html", "é" * 500)
    assert excerpt_of("text/plain; charset=latin1", b"\xe9") == Excerpt("text/plain; charset=latin1", "é")
    assert excerpt_of("text/plain; charset=utf-7", b"a\xff") == Excerpt("text/plain; charset=utf-7", "a\ufffd")
    assert excerpt_of("image/png", b"PNG") == Excerpt("image/png", "")
    assert excerpt_of("text/html; " + "x" * 200, b"") == Excerpt("text/html; " + "x" * 89, "")
    assert excerpt_of("", b"") is None
    assert "é" not in repr(excerpt_of("text/html", "é".encode()))


# --- bounds


def test_64_kib_is_the_limit() -> None:
    """An answer of up to 64 KiB is relayed, and so is a text whose TwiML is at most that long."""
    padding = MAX_BYTES - len(b"<Response></Response>")
    assert relayed(b"<Response>" + b" " * padding + b"</Response>") is not None
    assert relayed(b"<Response>" + b" " * (padding + 1) + b"</Response>") is None
    assert relayed(b"&" * 20_000, "text/plain") is None


BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha">%s]>
<Response><Message>&z;</Message></Response>"""
LEVELS = b"".join(b'<!ENTITY %c "%s">' % (n + 1, b"&%c;" % n * 10) for n in range(ord("a"), ord("z")))


@pytest.mark.parametrize(
    "body",
    [
        BOMB % LEVELS,
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response><Message>&x;</Message></Response>',
        b'<!DOCTYPE Response SYSTEM "http://169.254.169.254/latest"><Response/>',
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://a.example/p">%p;]><Response/>',
        b"<!DOCTYPE html><Response/>",
        b"\xef\xbb\xbf<!DOCTYPE Response><Response/>",
    ],
    ids=["entity-bomb", "file", "network", "parameter-entity", "html", "behind-a-byte-order-mark"],
)
def test_a_doctype_is_refused(body: bytes) -> None:
    """TwiML with a DOCTYPE is not relayed."""
    assert relayed(body) is None


def test_a_doctype_cannot_hide_in_a_charset() -> None:
    """A DOCTYPE that is hidden by UTF-7 is refused, too."""
    bomb = '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE r+AD4-<Response/>'
    assert relayed(bomb.encode()) is None
    assert relayed(bomb.encode(), "text/xml; charset=utf-7") is None


def test_depth_is_bounded() -> None:
    """TwiML of 16 levels is relayed; of 17, or of 9,000, it is not."""

    def nested(levels: int) -> bytes:
        return b"<Response>" + b"<a>" * (levels - 1) + b"</a>" * (levels - 1) + b"</Response>"

    assert relayed(nested(16)) == nested(16)
    assert relayed(nested(17)) is None
    assert relayed(nested(9_000)) is None


# --- relative URLs


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("/next", "https://target.example/next"),
        ("next", "https://target.example/bot/next"),
        ("../next?a=1&amp;b=2", "https://target.example/next?a=1&b=2"),
        ("?a=1", "https://target.example/bot/answer?a=1"),
        ("//cdn.example/x", "https://cdn.example/x"),
        ("\n  /next\n", "https://target.example/next"),
        ("http://other.example/x", "http://other.example/x"),
    ],
)
def test_relative_urls_become_absolute(url: str, absolute: str) -> None:
    """In all five places that hold a URL, a relative one becomes absolute against the target."""
    twiml = parsed(
        relayed(
            f'<Response><Message to="+1" action="{url}" statusCallback="{url}">Hi<Media>{url}</Media></Message>'
            f"<Redirect method='GET'>{url}</Redirect></Response>".encode()
        )
    )
    message, redirect = twiml
    assert [message.get("action"), message.get("statusCallback")] == [absolute, absolute]
    assert [(message[0].text or "").strip(), (redirect.text or "").strip()] == [absolute, absolute]
    assert (message.get("to"), message.text, redirect.get("method")) == ("+1", "Hi", "GET")


def test_an_empty_redirect_is_the_target_itself() -> None:
    """An empty <Redirect> becomes the target's own URL."""
    assert parsed(relayed(b"<Response><Redirect/></Response>"))[0].text == URL


def test_texts_that_look_like_urls_stay() -> None:
    """A text that looks like a URL is not changed."""
    twiml = parsed(relayed("<Response><Message><Body>/a é</Body></Message><Redirect>/b</Redirect></Response>".encode()))
    assert twiml[0][0].text == "/a é"


def test_the_target_may_have_no_url() -> None:
    """An answer without a URL, as a handler's, keeps its relative URLs."""
    body = b"<Response><Redirect>/next</Redirect></Response>"
    assert relayed(body, url="") == body


def test_twiml_of_twilios_builder_is_relayed() -> None:
    """TwiML built with Twilio's library is relayed with absolute URLs."""
    response = MessagingResponse()
    response.message("Hello", action="/sent").media("logo.png")
    response.redirect("/next")
    message, redirect = parsed(relayed(str(response).encode()))
    assert message.get("action") == "https://target.example/sent"
    assert message.findtext("Media") == "https://target.example/bot/logo.png"
    assert redirect.text == "https://target.example/next"


# --- charsets


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (
            '<?xml version="1.0" encoding="ISO-8859-1"?><Response><Message>é</Message></Response>'.encode("latin-1"),
            "text/xml",
        ),
        ("<Response><Message>é</Message></Response>".encode("cp1252"), "text/xml; charset=windows-1252"),
        (
            '<?xml version="1.0" encoding="latin1"?><Response><Message>é</Message></Response>'.encode(),
            "text/xml; charset=utf-8",
        ),
        (
            "\ufeff<?xml version='1.0'?><Response><Message>é</Message></Response>".encode(),
            "text/xml; charset=iso-8859-1",
        ),
    ],
    ids=["declared", "content-type", "content-type-before-declaration", "byte-order-mark-before-content-type"],
)
def test_charsets_become_utf8(body: bytes, content_type: str) -> None:
    """The charset is read from byte order mark, Content-Type, declaration, in this order (RFC 7303), and made UTF-8."""
    twiml = relayed(body, content_type)
    assert parsed(twiml)[0].text == "é"
    assert twiml is not None
    assert "é".encode() in twiml


# --- plain text


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_text_becomes_a_message(text: str) -> None:
    """A text/plain answer becomes one <Message> with that text; a blank one is not relayed."""
    twiml = relayed(text.encode(), "text/plain; charset=utf-8")
    if not text.strip():
        assert twiml is None
        return
    (message,) = parsed(twiml)
    assert message.tag == "Message"
    assert message.text == "".join(c for c in text if c not in "\ufffe\uffff")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"<Redirect>/x</Redirect> & co", "text/plain", "<Redirect>/x</Redirect> & co"),
        (b"a\x00\x08b\tc\nd", "text/plain", "ab\tc\nd"),
        (b"caf\xe9", "text/plain; charset=ISO-8859-1", "café"),
        (b"OK", 'text/plain; format=flowed; charset="utf-8"', "OK"),
    ],
    ids=["markup", "control-characters", "charset", "parameters"],
)
def test_markup_in_a_text_is_text(body: bytes, content_type: str, text: str) -> None:
    """Markup in a text/plain answer is text, and characters that XML does not allow are left out."""
    assert parsed(relayed(body, content_type))[0].text == text


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\x00", b"\xff"], ids=["empty", "space", "control", "not-utf-8"])
def test_a_blank_text_is_not_relayed(body: bytes) -> None:
    """A text/plain answer that is blank or not in its charset is not relayed."""
    assert relayed(body, "text/plain") is None


@given(body=st.binary(max_size=200), content_type=st.text(max_size=30), status=st.integers(100, 599))
def test_any_answer_is_relayed_as_twiml_or_not_at_all(body: bytes, content_type: str, status: int) -> None:
    """Any answer of a target is relayed as a valid <Response> or not at all, without an exception."""
    for kind in (content_type, "text/xml; charset=" + content_type, "text/plain"):
        twiml = relayed(body, kind, status)
        assert twiml is None or parsed(twiml).tag == "Response"


def test_an_endless_xml_declaration_is_searched_in_linear_time() -> None:
    """An XML declaration that never ends is searched in less than a second and not relayed."""
    endless = b"<?xml " + b" encoding='" * 100_000
    begun = time.process_time()
    assert _XML_DECLARATION.match(endless) is None
    assert time.process_time() - begun < 1
    assert relayed(endless[:MAX_BYTES], "text/xml") is None


def test_an_answer_shows_no_text() -> None:
    """An answer's repr does not show its body."""
    assert "Hello" not in repr(Answer(200, "text/xml", HELLO, URL))
