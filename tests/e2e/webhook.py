"""Commands without a router, and checks of the requests they send: form fields, and signature by Twilio's library."""

from pathlib import Path
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator

from tests.e2e.commands import Cli, invoke
from tests.integrations.target import Request, Target

AC = "AC" + "7" * 32
SHARED = {"HMAC_SHA256": "webhooks_sharedkey_0256", "HMAC_SHA1": "webhooks_sharedkey_0001"}
CONFIG = f"""
[[account]]
sid = "{AC}"
auth_tokens = ["{"a" * 32}", "{"b" * 32}"]

[[account.shared_keys]]
id = "{SHARED["HMAC_SHA256"]}"
algorithm = "HMAC_SHA256"
secret = "{"c" * 32}"

[[account.shared_keys]]
id = "{SHARED["HMAC_SHA1"]}"
algorithm = "HMAC_SHA1"
secret = "{"d" * 32}"
"""


def without_router(folder: Path) -> Cli:
    """Run commands without a router and a store, with an account of two auth tokens and two shared keys."""
    file = folder / "router.toml"
    file.write_text(CONFIG)
    environ = {"ROUTER_CONFIG": str(file), "ROUTER_DATA_DIR": str(folder / "var")}
    return lambda *args, given="": invoke(*args, given=given, **environ)


def form(request: Request) -> dict[str, str]:
    """Return the parameters of a webhook."""
    query = request.target.partition("?")[2] if request.method == "GET" else request.body.decode()
    return dict(parse_qsl(query, keep_blank_values=True))


def is_signed(webhook: Target, request: Request, secret: str, algorithm: str = "HMAC_SHA1") -> bool:
    """Ask Twilio's own library whether a request is signed with a secret."""
    signed = form(request) if request.method == "POST" else {}
    url = webhook.url()[:-1] + request.target
    given = request.header("X-Twilio-Signature")
    return bool(given and RequestValidator(secret).validate(url, signed, given, algorithm))
