"""TwiML for messages, read as Twilio does: what it would send, and what it does not know.

https://www.twilio.com/docs/messaging/twiml
"""

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

# https://www.twilio.com/docs/messaging/twiml/message and …/redirect
_ATTRIBUTES: Final = {
    "Message": frozenset(("to", "from", "action", "method", "statusCallback")),
    "Redirect": frozenset(("method",)),
    "Body": frozenset[str](),
    "Media": frozenset[str](),
}


class NoTwiml(ValueError):  # noqa: N818 - named for what it says
    """What is no TwiML; `code` is the error that Twilio logs."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sending:
    """One message that TwiML has Twilio send; `to` and `from_` are "" for those of the message that is answered."""

    body: str
    media: tuple[str, ...] = ()
    to: str = ""
    from_: str = ""


@dataclass(frozen=True, slots=True)
class Twiml:
    """What a document says: the messages, the URL that is asked next ("" for none), and what Twilio warns of."""

    messages: tuple[Sending, ...]
    redirect: str = ""
    unknown: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Say, line by line, what Twilio would do for the customer; nothing for the empty answer."""
        said = []
        for each in self.messages:
            said += each.body.splitlines()
            said += [f"with {url}" for url in each.media]
            said += [f"(to {each.to}, not to the customer)"] * bool(each.to)
        said += self.other
        return [*said, *[f"what {self.redirect} answers, which Twilio asks now"] * bool(self.redirect)]


def read(document: bytes) -> Twiml:
    """Read TwiML.

    Raises:
        NoTwiml: it does not parse (12100), or its root is not `<Response>` (12102).
    """
    if b"<!DOCTYPE" in document:
        raise NoTwiml("it has a DOCTYPE", 12100)
    try:
        root = ET.fromstring(document)  # noqa: S314 - no DOCTYPE, so no entities; expat's own limits stop the rest
    except (ET.ParseError, ValueError) as error:  # ValueError: an encoding that expat does not know
        raise NoTwiml(f"it is no XML: {error}", 12100) from None
    if root.tag != "Response":
        raise NoTwiml(f"its root is <{root.tag}>, not <Response>", 12102)
    messages, redirect, other = [], "", []
    for verb in root:
        if verb.tag == "Message":
            messages.append(_message(verb))
        elif verb.tag == "Redirect":
            redirect = (verb.text or "").strip() or "the same URL"
        else:
            other.append(f"<{verb.tag}> {(verb.text or '').strip()}".rstrip())
    return Twiml(tuple(messages), redirect, tuple(_unknown(root)), tuple(other))


def _message(verb: ET.Element) -> Sending:
    body = "".join([verb.text or "", *(child.text or "" for child in verb if child.tag == "Body")])
    media = tuple((child.text or "").strip() for child in verb if child.tag == "Media")
    return Sending(body.strip(), media, verb.get("to", ""), verb.get("from", ""))


def _unknown(root: ET.Element) -> list[str]:
    """List what Twilio warns of: verbs, nouns and attributes that messages do not have."""
    found = []
    for verb in root:
        parts = [verb, *(verb if verb.tag == "Message" else ())]
        for part in parts:
            nested = part is not verb
            known = ("Body", "Media") if nested else ("Message", "Redirect")
            if part.tag not in known:
                found.append(f"<{part.tag}>")
            else:
                found += [f"{name} of <{part.tag}>" for name in part.attrib if name not in _ATTRIBUTES[part.tag]]
    return found
