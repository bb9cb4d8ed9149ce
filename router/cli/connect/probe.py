"""Tests whether a signed request to a public base URL reaches the router, and if not, what answered instead."""

import re
import secrets
import time
from dataclasses import dataclass
from typing import Final

from router.cli.http import NoAnswer, exchange
from router.cli.send.call import send
from router.cli.send.signing import signing
from router.settings import Account
from router.web.public import CLOSED

_SECONDS: Final = 5.0
_OK: Final = 200
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
# Seconds between two attempts at a new tunnel.
_PAUSE: Final = 0.25
_NGROK: Final = re.compile(rb"ERR_NGROK_(\d+)")
# What ngrok's own pages mean here: https://ngrok.com/docs/errors
_WARNING: Final = "6024"
_NGROK_PAGES: Final = {
    _WARNING: (
        "ngrok's browser warning answered instead of the router (ERR_NGROK_6024)",
        "Twilio would get that page too: use a paid ngrok plan, or another tunnel with `router tunnel --url`",
    ),
    "3200": (
        "the tunnel is gone: no ngrok agent serves this address (ERR_NGROK_3200)",
        "start it again with `router tunnel`; the webhooks that `router connect` has set get its new address",
    ),
    "8012": (
        "ngrok does not reach the router on this machine (ERR_NGROK_8012)",
        "start the router with `router run`, or let ngrok forward to the port that the router listens on",
    ),
}
# https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1033/
_CLOUDFLARE: Final = re.compile(rb"(?i)error(?: code:)? 1033")


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a test: whether the request reached the router, what was found, and what to do.

    `final` is whether another attempt would have the same result.
    """

    good: bool
    found: str
    advice: str = ""
    final: bool = False


def probe(base: str, account: Account) -> Probe:
    """Send a signed status callback to a public base URL, as Twilio would, to test host name, path and signature.

    The router acknowledges a status callback; it has no other effect.
    """
    form = [
        ("AccountSid", account.sid),
        ("MessageSid", "SM" + secrets.token_hex(16)),
        ("MessageStatus", "delivered"),
        ("ErrorCode", ""),
    ]
    try:
        answered = send(f"{base}/webhooks/message", form, signing(account, None))
    except NoAnswer as error:
        advice = (
            "check that the tunnel or proxy runs, and that the name is right; some networks also keep a machine from "
            "reaching its own public address"
        )
        return Probe(good=False, found=str(error), advice=advice)
    if answered.status == _OK and b"<Response" in answered.body:
        return Probe(good=True, found=f"a signed request came through in {answered.seconds:.2f} s")
    if page := _NGROK.search(answered.body):
        code = page[1].decode()
        unknown = (
            f"ngrok answered instead of the router (ERR_NGROK_{code})",
            f"see https://ngrok.com/docs/errors/err_ngrok_{code}",
        )
        return Probe(False, *_NGROK_PAGES.get(code, unknown), final=code == _WARNING)
    if _CLOUDFLARE.search(answered.body):
        found = "the tunnel is gone: no cloudflared serves this address (error 1033)"
        return Probe(
            good=False, found=found, advice="start cloudflared again, and then `router tunnel --url https://…`"
        )
    if answered.status == _FORBIDDEN and answered.body == b"Forbidden":
        advice = "a proxy changes the signed URL, or another router answers: `router doctor` shows what differs"
        return Probe(good=False, found="refused a signed request", advice=advice)
    advice = "a program other than this router answers: check the host, port and path of the tunnel or proxy"
    return Probe(good=False, found=f"answered {answered.status}, {answered.content_type}", advice=advice)


def probe_new(base: str, account: Account, within: float) -> Probe:
    """Probe until it succeeds, for `within` seconds: the name of a new tunnel takes time to spread in the DNS."""
    end = time.monotonic() + within
    while not (found := probe(base, account)).good and not found.final and time.monotonic() < end:
        time.sleep(_PAUSE)
    return found


def answers(base: str) -> bool:
    """Return whether a router serves more than its webhooks at a base URL."""
    return _health(base) == (_OK, b"ok\n")


def is_guarded(base: str) -> bool:
    """Return whether a router serves only its webhooks at a base URL, as on the port for tunnels."""
    return _health(base) == (_NOT_FOUND, CLOSED)


def _health(base: str) -> tuple[int, bytes]:
    try:
        answered = exchange("GET", f"{base}/healthz", connect=_SECONDS, read=_SECONDS)
    except NoAnswer:
        return 0, b""
    return answered.status, answered.body
