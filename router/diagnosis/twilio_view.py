"""Determines what Twilio does after a webhook's answer: what it sends to the customer, or which error it logs.

https://www.twilio.com/docs/messaging/twiml#twilios-request-to-your-application
https://www.twilio.com/docs/api/errors
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from router.message.twiml import MAX_BYTES, NotTwiml, Twiml, read

# The maximum number of redirects that Twilio follows: https://www.twilio.com/docs/api/errors/11215
REDIRECTS: Final = 10
ERRORS: Final = {
    11100: "invalid URL format",
    11200: "HTTP retrieval failure",
    11205: "HTTP connection failure",
    11206: "HTTP protocol violation",
    11210: "HTTP bad host name",
    11215: "HTTP too many redirects",
    11216: "invalid redirect",
    11220: "SSL/TLS handshake error",
    11235: "certificate invalid: domain mismatch",
    11236: "certificate invalid: expired",
    11237: "certificate invalid: could not find path to certificate",
    11750: "TwiML response body too large",
    11770: "empty chunked body",
    12100: "document parse failure",
    12102: "root element is not Response",
    12200: "schema validation warning",
    12300: "invalid Content-Type",
    21617: "message body over 1600 characters",
}
"""Twilio's errors for webhooks with its descriptions; each has a page at https://www.twilio.com/docs/api/errors/<code>."""

_WARNINGS: Final = (12200, 21617)  # Twilio uses the answer nevertheless, and does not call the fallback URL
_XML: Final = ("text/xml", "application/xml", "text/html")
_OK: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_NO_CONTENT: Final = 204
_LONGEST: Final = 1600


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request, or the reason why there was no answer.

    Args:
        status: the HTTP status; 0 if there was no answer.
        content_type: the Content-Type, "" for none.
        body: at most 256 KiB of the body.
        seconds: from the request to the end of the answer, redirects included.
        location: the Location of a redirect.
        chunked: whether the body was sent in chunks.
        redirects: the number of redirects that were followed.
        code: the error that Twilio would log if there was no answer.
        reason: why there was no answer.
    """

    status: int
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    location: str = ""
    chunked: bool = False
    redirects: int = 0
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TwilioView:
    """What Twilio does after an answer: what it sends to the customer, as lines, and the error or warning that it logs.

    `code` is 0 for none.
    """

    does: tuple[str, ...] = ()
    code: int = 0
    reason: str = ""

    @property
    def is_warning(self) -> bool:
        """Whether Twilio logs only a warning."""
        return self.code in _WARNINGS

    @property
    def fallback(self) -> bool:
        """Whether Twilio would call the fallback URL, if one is set."""
        return bool(self.code) and not self.is_warning

    @property
    def logged(self) -> str:
        """What Twilio's debugger would show, in one line; "" for nothing."""
        kind = "warning" if self.is_warning else "error"
        return f"{kind} {self.code} ({ERRORS[self.code]}): {self.reason}" if self.code else ""

    @property
    def lines(self) -> list[str]:
        """The description for people."""
        lines = [f"logs {self.logged}"] if self.code else []
        if self.fallback:
            lines.append(f"calls the fallback URL with ErrorCode={self.code}, or else sends the customer nothing")
        elif self.does:
            lines += ["sends the customer", *(f"  {line}" for line in self.does)]
        else:
            lines.append("sends the customer nothing")
        return lines


def view_of(answered: Answered) -> TwilioView:
    """Return what Twilio does after an answer; a status of 0 means that there was no answer.

    A 4xx or 5xx is 11200, as in most accounts; Twilio's error dictionary also has 11217 for it.
    """
    status = answered.status
    if not status:
        return TwilioView(code=answered.code or 11200, reason=answered.reason or "no answer")
    if status in _REDIRECT:
        if answered.redirects >= REDIRECTS:
            return TwilioView(code=11215, reason=f"more than {REDIRECTS} redirects")
        return TwilioView(code=11216, reason=f"answered {status}, without a URL to go to")
    if status not in _OK:
        return TwilioView(code=11200, reason=f"answered {status}")
    return TwilioView() if status == _NO_CONTENT else _of_content(answered)


def _of_content(answered: Answered) -> TwilioView:
    media_type = answered.content_type.partition(";")[0].strip().lower()
    if not answered.body and answered.chunked:
        return TwilioView(code=11770, reason="an empty body, sent in chunks; send a Content-Length, or <Response/>")
    if not media_type:
        return TwilioView(code=12300, reason="no Content-Type")
    if media_type == "text/plain":
        text = answered.body.decode(errors="replace").strip()
        return _too_long(TwilioView(tuple(text.splitlines())), [text])
    if media_type not in _XML:
        return TwilioView(code=12300, reason=f"{media_type} instead of text/xml")
    if len(answered.body) > MAX_BYTES:
        return TwilioView(code=11750, reason="over 64 KiB")
    return _of_xml(answered.body)


def _of_xml(body: bytes) -> TwilioView:
    if not body.strip():
        return TwilioView(code=12100, reason="an empty body instead of <Response/>")
    try:
        twiml = read(body)
    except NotTwiml as error:
        return TwilioView(code=error.code, reason=str(error))
    does = tuple(_lines(twiml))
    if twiml.unknown:
        return TwilioView(does, 12200, f"messages have no {', '.join(twiml.unknown)}; Twilio skips it")
    return _too_long(TwilioView(does), [verb.text for verb in twiml.verbs if verb.tag == "Message"])


def spoken(twiml: bytes) -> list[str] | None:
    """Return, as lines, what Twilio would send to the customer; empty for an empty answer, None if it is not TwiML."""
    try:
        return list(_lines(read(twiml)))
    except NotTwiml:
        return None


def _lines(twiml: Twiml) -> Iterator[str]:
    for verb in twiml.verbs:
        if verb.tag == "Message":
            yield from verb.text.splitlines()
            yield from (f"with {url}" for url in verb.media)
            if verb.to:
                yield f"(to {verb.to}, not to the customer)"
        elif verb.tag == "Redirect":
            yield f"the answer of {verb.text or 'the same URL'}, which Twilio calls next"
        else:
            yield f"<{verb.tag}> {verb.text}".rstrip()


def _too_long(good: TwilioView, texts: list[str]) -> TwilioView:
    """Check the length of the texts: https://www.twilio.com/docs/api/errors/21617."""
    longest = max((len(text) for text in texts), default=0)
    if longest <= _LONGEST:
        return good
    return TwilioView((), 21617, f"{longest} characters, so the message is not sent")
