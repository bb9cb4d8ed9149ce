"""TwiML for messages: reads documents, and converts a target's answer to the TwiML for Twilio.

https://www.twilio.com/docs/messaging/twiml
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from typing import Final
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET
from xml.parsers.expat import ErrorString

from router.value import value

EMPTY_TWIML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
MAX_BYTES: Final = 64 * 1024  # Twilio's own limit: https://www.twilio.com/docs/api/errors/11750

_XML_TYPES: Final = ("text/xml", "application/xml", "text/html")
_CONTENT_TYPE = re.compile(r"""\s*([^;\s]+)\s*(?:;.*?\bcharset\s*=\s*["']?([^"';\s]+))?""", re.IGNORECASE)
# At most 200 bytes: a search in repetitive text would take quadratic time.
_XML_DECLARATION = re.compile(rb"""<\?xml\s(?:[^>]{0,200}?\sencoding\s*=\s*["']([^"']{1,40})["'])?[^>]{0,200}\?>""")
_CODECS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_TOO_LONG: Final = f"it is over {MAX_BYTES // 1024} KiB"
_MAX_DEPTH: Final = 16  # TwiML for messaging has three levels; the XML serializer is recursive
_KNOWN_MOST: Final = 1024  # the maximum size of an answer whose result is cached
_URL_ATTRIBUTES: Final = ("action", "statusCallback")
# https://www.twilio.com/docs/messaging/twiml/message and …/redirect
_ATTRIBUTES: Final = {
    "Message": frozenset(("to", "from", "action", "method", "statusCallback")),
    "Redirect": frozenset(("method",)),
    "Body": frozenset[str](),
    "Media": frozenset[str](),
}


# The number of characters that are kept of an invalid answer, and of its content type.
EXCERPT_MOST: Final = 500
_TYPE_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of an invalid answer, and its content type.

    For an exception of a handler the type is `TRACEBACK`, and the text its last frames, one on a line.
    """

    type: str
    text: str = field(repr=False)


TRACEBACK: Final = "traceback"
# The beginning of the reason for an answer that is not TwiML.
NOT_TWIML: Final = "not TwiML: "


@value
class Answer:
    """A target's complete answer; `url` is its URL, to which URLs in the answer are relative.

    `flaw` is the reason if the body was left out. `note` is one line for the message's history.
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    url: str
    set_cookie: tuple[str, ...] = field(default=(), repr=False)
    flaw: str = ""
    note: str = ""


def excerpt_of(content_type: str, body: bytes) -> Excerpt | None:
    """Return the part of an invalid answer that is kept; None if it is empty."""
    found = _CONTENT_TYPE.match(content_type)
    media_type, charset = (found[1].lower(), found[2]) if found else ("", None)
    kind = media_type.partition("/")[0]
    if not body or kind in {"image", "audio", "video", "font"}:
        return Excerpt(content_type[:_TYPE_MOST], "") if content_type else None
    codec = _CODECS.get((charset or "utf-8").lower(), "utf-8")
    # A character has at most four bytes.
    text = body[: 4 * EXCERPT_MOST].decode(codec, "replace")
    return Excerpt(content_type[:_TYPE_MOST], text[:EXCERPT_MOST])


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of a document.

    Args:
        tag: `Message`, `Redirect`, or a verb that is not for messages.
        text: the body of a message, else the verb's own text.
        media: URLs of a message's attachments.
        to: the recipient of a message, "" for the sender of the answered message.
        from_: its sender, "" for our address.
    """

    tag: str
    text: str = field(default="", repr=False)
    media: tuple[str, ...] = field(default=(), repr=False)
    to: str = ""
    from_: str = ""


@value
class Twiml:
    """A TwiML document: its bytes, and its `<Response>`, so that it is parsed once."""

    xml: bytes = field(repr=False)
    response: ET.Element = field(repr=False, compare=False)

    @property
    def verbs(self) -> tuple[Verb, ...]:
        """Its verbs, in their order."""
        return tuple(_verb(each) for each in self.response)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The verbs, nouns and attributes that Twilio does not know for messages."""
        return tuple(_unknown(self.response))


class NotTwiml(ValueError):  # noqa: N818 - named for what happened
    """A document that is not TwiML. The reason does not quote its text; `code` is the error that Twilio logs."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


def read(document: bytes) -> Twiml:
    """Parse TwiML.

    Raises:
        NotTwiml: it does not parse (12100), or its root is not `<Response>` (12102).
    """
    return Twiml(document, _parse(document))


def _parse(document: bytes, encoding: str | None = None) -> ET.Element:
    """Parse a document; `encoding` overrides its own declaration."""
    if b"<!DOCTYPE" in document:  # TwiML has none, and without it no entities can be expanded or fetched
        raise NotTwiml("it has a DOCTYPE", 12100)
    try:
        root = ET.fromstring(document, ET.XMLParser(encoding=encoding))  # noqa: S314 - no DOCTYPE, so no entities
    except ET.ParseError as error:
        line, column = error.position
        raise NotTwiml(f"it is not XML: {ErrorString(error.code)}, line {line}, column {column}", 12100) from None
    except ValueError:
        raise NotTwiml("it is not XML: it names an encoding that is not known", 12100) from None
    if root.tag != "Response":
        raise NotTwiml(f"its root is <{root.tag[:40]}>, not <Response>", 12102)
    return root


def _verb(verb: ET.Element) -> Verb:
    if verb.tag != "Message":
        return Verb(verb.tag, (verb.text or "").strip())
    bodies = [verb.text, *(part.text for part in verb if part.tag == "Body")]
    media = ((part.text or "").strip() for part in verb if part.tag == "Media")
    text = "".join((body or "").strip() for body in bodies)
    return Verb("Message", text, tuple(url for url in media if url), verb.get("to", ""), verb.get("from", ""))


def _unknown(root: ET.Element) -> Iterator[str]:
    for verb in root:
        for part in (verb, *(verb if verb.tag == "Message" else ())):
            known = ("Message", "Redirect") if part is verb else ("Body", "Media")
            if part.tag not in known:
                yield f"<{part.tag}>"
            else:
                yield from (f"{name} of <{part.tag}>" for name in part.attrib if name not in _ATTRIBUTES[part.tag])


def twiml_of(answer: Answer) -> Twiml | None:
    """Convert a target's answer to the TwiML for Twilio; None for an empty answer.

    A 2xx with XML or `text/html` must be one `<Response>`. It is passed on byte for byte, unless it is in another
    charset, or has a relative URL: these become absolute, because Twilio would resolve them against the router's URL.
    `text/plain` becomes a `<Message>`.

    https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application

    Raises:
        NotTwiml: any other status or content type, XML that does not parse or has a DOCTYPE, or more than 64 KiB.

    """
    if not 200 <= answer.status < 300:  # noqa: PLR2004
        raise NotTwiml(f"its status is {answer.status}", 11200)
    if answer.flaw or len(answer.body) > MAX_BYTES:
        raise NotTwiml(answer.flaw or _TOO_LONG, 11750)
    if not answer.body.strip():
        return None
    content_type = _CONTENT_TYPE.match(answer.content_type)
    if content_type is None:
        raise NotTwiml("it has no Content-Type", 12300)
    media_type, charset = content_type[1].lower(), content_type[2]
    try:
        if media_type == "text/plain":
            twiml = _from_text(answer.body.decode(_codec(charset)))
        elif media_type in _XML_TYPES or media_type.endswith("+xml"):
            read = _known if len(answer.body) <= _KNOWN_MOST else _from_xml
            twiml = read(answer.body, charset, answer.url)
        else:
            raise NotTwiml(f"it is {media_type[:_TYPE_MOST]}", 12300)
    except UnicodeDecodeError:
        raise NotTwiml("it is not in the charset that it names, or not in UTF-8", 12100) from None
    if twiml is not None and len(twiml.xml) > MAX_BYTES:
        raise NotTwiml(_TOO_LONG, 11750)
    return twiml


def _from_text(text: str) -> Twiml | None:
    text = _NOT_IN_XML.sub("", text)
    if not text.strip():
        return None
    message = f"<Response><Message>{escape(text, quote=False)}</Message></Response>"
    response = ET.Element("Response")
    ET.SubElement(response, "Message").text = text
    return Twiml(EMPTY_TWIML.replace(b"<Response/>", message.encode()), response)


def _from_xml(body: bytes, charset: str | None, url: str) -> Twiml:
    declaration = _XML_DECLARATION.match(body.removeprefix(codecs.BOM_UTF8))
    declared = declaration[1].decode("ascii", "replace") if declaration and declaration[1] else None
    # The order of RFC 7303, section 3: byte order mark, Content-Type, the document's own declaration.
    codec = "utf-8" if body.startswith(codecs.BOM_UTF8) else _codec(charset or declared)
    utf8 = body.decode(codec).encode()
    root = _parse(utf8, "utf-8")
    if not _is_shallow(root):
        raise NotTwiml(f"its elements are more than {_MAX_DEPTH} deep", 12100)
    if _make_absolute(root, url) or _codec(declared) != "utf-8" or utf8 != body:
        return Twiml(bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True)), root)
    return Twiml(body, root)


# Many targets send the same few answers: the empty one, "thank you", "we are closed".
_known = lru_cache(maxsize=64)(_from_xml)


def _codec(charset: str | None) -> str:
    """Return the codec of a charset; raise NotTwiml for an unsupported charset."""
    codec = _CODECS.get((charset or "utf-8").lower())  # not codecs.lookup, which caches every name
    if codec is None:
        raise NotTwiml(f"its charset is not supported: {str(charset)[:_TYPE_MOST]!r}", 12300)
    return codec


def _is_shallow(root: ET.Element) -> bool:
    level, depth = [root], 0
    while level and depth < _MAX_DEPTH:
        level, depth = [child for element in level for child in element], depth + 1
    return not level


def _make_absolute(root: ET.Element, base: str) -> bool:
    """Make every relative URL absolute; return whether there was one. Raises NotTwiml for an invalid URL."""
    changed = False
    for element in root.iter():
        text = (element.text or "").strip()
        # An empty <Redirect> means the document's own URL; an empty <Media> means nothing.
        if element.tag == "Redirect" or (element.tag == "Media" and text):
            absolute = _absolute(text, base)
            if absolute != text:
                element.text = absolute
                changed = True
        for name in _URL_ATTRIBUTES:
            value = element.get(name, "").strip()
            absolute = _absolute(value, base) if value else value
            if absolute != value:
                element.set(name, absolute)
                changed = True
    return changed


def _absolute(url: str, base: str) -> str:
    try:
        return url if urlsplit(url).scheme else urljoin(base, url)
    except ValueError:
        raise NotTwiml("it has an invalid URL", 12100) from None
