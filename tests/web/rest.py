"""The REST resources without a server: three accounts, all in one bucket of the store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Flask
from werkzeug.datastructures import Headers

from router.app import create_app
from tests.valkey import ValkeyServer

if TYPE_CHECKING:
    from router.store import Store

BASE: Final = "https://router.example.com"
ONE, TWO, THREE = ("AC" + digits * 8 + "a" * 8 for digits in ("111", "222", "333"))
TOKENS: Final = {ONE: "1" * 32, TWO: "2" * 32, THREE: "3" * 32}
KEY, KEY_SECRET = "SK" + "1" * 32, "k" * 32
RETIRED: Final = "9" * 32
IS, FW, WS, WW, KS = (prefix + "5" * 32 for prefix in ("IS", "FW", "WS", "WW", "KS"))

_CONFIG: Final = f"""
public_url = "{BASE}"
trusted_proxies = ["10.0.0.1"]

[handlers]
everyone = "router.demo:handle"
one = {{ path = "router.demo:handle", accounts = ["{ONE}"] }}

[[account]]
sid = "{ONE}"
auth_tokens = ["{TOKENS[ONE]}", "{RETIRED}"]
api_keys = [{{ sid = "{KEY}", secret = "{KEY_SECRET}" }}]

[[account]]
sid = "{TWO}"
auth_tokens = ["{TOKENS[TWO]}"]

[[account]]
sid = "{THREE}"
auth_tokens = ["{TOKENS[THREE]}"]
"""


class Reply:
    """An answer: its status, headers and JSON."""

    def __init__(self, status: int, headers: Headers, json: Any) -> None:
        self.status = status
        self.headers = headers
        self.json = json

    @property
    def error(self) -> tuple[int, int, str]:
        """The HTTP status, Twilio's code and the message of an error in Twilio's form."""
        assert self.json.keys() == {"code", "message", "more_info", "status"}
        assert self.json["status"] == self.status
        assert self.json["more_info"] == f"https://www.twilio.com/docs/errors/{self.json['code']}"
        return self.status, self.json["code"], self.json["message"]


class Rest:
    """The application with its three accounts over an empty store."""

    def __init__(self, app: Flask, valkey: ValkeyServer, config: Path) -> None:
        self.app = app
        self.config = config
        self.valkey = valkey
        self.store: Final[Store] = app.extensions["router"].store

    def call(  # noqa: PLR0913 - what a request is made of
        self,
        method: str,
        path: str,
        form: Any = None,
        *,
        user: str = ONE,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request as an account; `path` may be a URL from a list."""
        auth = (user, TOKENS[user] if token is None else token)
        response = self.app.test_client().open(
            path.removeprefix(BASE), method=method, data=form, auth=auth, headers=headers
        )
        return Reply(response.status_code, response.headers, response.get_json(silent=True))

    def create(self, number: int = 1, *, user: str = ONE, **more: str) -> dict[str, Any]:
        """Create a flow with an address of its own."""
        reply = self.call("POST", "/v1/FlexFlows", flow_form(number, **more), user=user)
        assert reply.status == 201, reply.json
        created: dict[str, Any] = reply.json
        return created

    def pages(self, path: str, *, user: str = ONE) -> Iterator[dict[str, Any]]:
        """Follow a list's next_page_url from page to page."""
        link: str | None = path
        while link:
            reply = self.call("GET", link, user=user)
            assert reply.status == 200, reply.json
            link = reply.json["meta"]["next_page_url"]
            yield reply.json

    def listed(self, path: str, *, user: str = ONE) -> list[str]:
        """Return the SIDs of all pages of a list."""
        return [each["sid"] for page in self.pages(path, user=user) for each in page[page["meta"]["key"]]]

    def written(self) -> dict[bytes, bytes]:
        """Return all keys and values of the store."""
        client = self.store.changes._client
        keys = client.call("KEYS", "*")
        return dict(zip(keys, client.calls([("DUMP", key) for key in keys]), strict=True))


def flow_form(number: int = 1, **more: str) -> dict[str, str]:
    """Return the form of an SMS flow for address `number`; a name in `more` has `__` for its dot."""
    return {
        "FriendlyName": f"Flow {number}",
        "ChatServiceSid": IS,
        "ChannelType": "sms",
        "ContactIdentity": f"+1555{number:07d}",
    } | {name.replace("__", "."): value for name, value in more.items()}


@contextmanager
def rest_over(
    valkey: ValkeyServer, folder: Path, *, more: str = "", base: str = BASE, **environ: str
) -> Iterator[Rest]:
    """Make the application over a store; `more` is TOML added after the accounts, `base` the public URL."""
    config = folder / "router.toml"
    config.write_text(_CONFIG.replace(BASE, base) + more, encoding="utf-8")
    app = create_app({"ROUTER_CONFIG": str(config), "ROUTER_REDIS_URL": valkey.url, **environ})
    rest = Rest(app, valkey, config)
    try:
        yield rest
    finally:
        rest.store.close()
