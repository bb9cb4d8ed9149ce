"""Whether a signed request comes through a public base, and if not, who answered in the router's place."""

import http.client
import re
import secrets
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from router.cli.send.call import NoAnswer, send
from router.message.signature import Key
from router.settings import Account

_SECONDS: Final = 5.0
_OK: Final = 200
_FORBIDDEN: Final = 403
# Between two attempts at a tunnel that was opened just now.
_PAUSE: Final = 0.25
_NGROK: Final = re.compile(rb"ERR_NGROK_(\d+)")
# What ngrok's own pages mean here: https://ngrok.com/docs/errors
_WARNING: Final = "6024"
_NGROK_SAYS: Final = {
    _WARNING: (
        "ngrok's browser warning answered in the router's place (ERR_NGROK_6024)",
        "Twilio would get that page too: a paid ngrok plan takes it away, or use another tunnel with `--url https://…`",
    ),
    "3200": (
        "the tunnel is gone: no ngrok agent serves this address (ERR_NGROK_3200)",
        "start it again with `router tunnel`; then its new address is written at Twilio by `router connect`",
    ),
    "8012": (
        "ngrok does not reach the router on this machine (ERR_NGROK_8012)",
        "start the router with `router run`, or let ngrok forward to the port that it listens at",
    ),
}


# https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1033/
_CLOUDFLARE: Final = re.compile(rb"(?i)error(?: code:)? 1033")
_CLOUDFLARE_SAYS: Final = (
    "the tunnel is gone: no cloudflared serves this address (error 1033)",
    "start it again, as `cloudflared tunnel --url http://127.0.0.1:8000`, and then `router tunnel --url https://…`",
)


@dataclass(frozen=True, slots=True)
class Through:
    """What became of a request: whether it came through, what was found, and what to do.

    `final` says that another attempt will find the same.
    """

    good: bool
    found: str
    advice: str = ""
    final: bool = False


def through(base: str, account: Account) -> Through:
    """Send a public base a signed status callback, as Twilio would: it proves name, way, path and signature.

    A status callback has no effect: the router acknowledges it, and that is all.
    """
    form = [
        ("AccountSid", account.sid),
        ("MessageSid", "SM" + secrets.token_hex(16)),
        ("MessageStatus", "delivered"),
        ("ErrorCode", ""),
    ]
    try:
        answered = send(f"{base}/webhooks/message", form, Key("auth_token[0]", account.auth_tokens[0].encode()))
    except NoAnswer as error:
        advice = "is the tunnel or proxy up, and the name right? This machine may also be kept from its own address"
        return Through(good=False, found=str(error), advice=advice)
    if answered.status == _OK and b"<Response" in answered.body:
        return Through(good=True, found=f"a signed request came through in {answered.seconds:.2f} s")
    if page := _NGROK.search(answered.body):
        code = page[1].decode()
        known = (
            f"ngrok answered in the router's place (ERR_NGROK_{code})",
            f"see https://ngrok.com/docs/errors/err_ngrok_{code}",
        )
        found, advice = _NGROK_SAYS.get(code, known)
        return Through(good=False, found=found, advice=advice, final=code == _WARNING)
    if _CLOUDFLARE.search(answered.body):
        found, advice = _CLOUDFLARE_SAYS
        return Through(good=False, found=found, advice=advice)
    if answered.status == _FORBIDDEN and answered.body == b"Forbidden":
        advice = "the signature was broken on the way, or another router is there: `router doctor` says what changed"
        return Through(good=False, found="refused a signed request", advice=advice)
    advice = "what answers there is not this router's webhook: check the tunnel's or proxy's target and path"
    return Through(good=False, found=f"answered {answered.status}, {answered.content_type}", advice=advice)


def answers(base: str) -> bool:
    """Say whether a router answers at a base, with more than its webhooks."""
    parts = urlsplit(base)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/healthz")
        answer = connection.getresponse()
        return answer.status == _OK and answer.read(16) == b"ok\n"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def through_soon(base: str, account: Account, within: float) -> Through:
    """Ask again until a request comes through: a tunnel that was just opened has a name nobody knows for a moment."""
    end = time.monotonic() + within
    while not (found := through(base, account)).good and not found.final and time.monotonic() < end:
        time.sleep(_PAUSE)
    return found
