"""Twilio's REST API as far as the commands ask it: a server on loopback that answers with Twilio's shapes.

https://www.twilio.com/docs/messaging/api/message-resource
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

import base64
import json
import threading
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

Record = dict[str, Any]
_PAGE = 2  # records on a page, so that every list has several


class TwilioRest:
    """An account at Twilio: give it numbers and messages, and see what was asked.

    Args:
        account_sid: the account.
        tokens: its auth tokens, which are all accepted.
    """

    def __init__(self, account_sid: str, *tokens: str) -> None:
        self.account_sid = account_sid
        self.tokens = set(tokens)
        self.status = "active"
        self.numbers: list[Record] = []
        self.services: list[Record] = []
        self.service_numbers: dict[str, list[Record]] = {}
        self.applications: dict[str, Record] = {}
        self.senders: list[Record] = []
        self.messages: list[Record] = []
        self.media: dict[str, list[Record]] = {}
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        """What ROUTER_TWILIO_API_URL has to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # -- what the account has ----------------------------------------------------------------------------------------

    def number(self, number: str, sms_url: str = "", **more: Any) -> None:
        """Give it a number."""
        sid = f"PN{len(self.numbers):032x}"
        given = {"sid": sid, "phone_number": number, "sms_url": sms_url, "sms_fallback_url": "https://example.com/fb"}
        self.numbers.append(given | {"account_sid": self.account_sid, "capabilities": {"sms": True}} | more)

    def service(self, sid: str, url: str | None, *numbers: str) -> None:
        """Give it a Messaging Service with numbers; without a URL the numbers' own count."""
        given = {"sid": sid, "account_sid": self.account_sid, "friendly_name": "a service", "inbound_request_url": url}
        links = {"phone_numbers": f"/v1/Services/{sid}/PhoneNumbers"}
        self.services.append(
            given | {"use_inbound_webhook_on_number": url is None, "fallback_url": None, "links": links}
        )
        self.service_numbers[sid] = [
            {"sid": f"PN{n:032x}", "phone_number": number, "service_sid": sid} for n, number in enumerate(numbers)
        ]

    def message(self, sid: str, created: datetime, *, direction: str = "inbound", **more: Any) -> None:
        """Record a message; lists give the newest first, as Twilio does."""
        date = format_datetime(created)
        given = {
            "sid": sid, "account_sid": self.account_sid, "api_version": "2010-04-01", "body": f"text of {sid[-4:]}",
            "date_created": date, "date_sent": date, "date_updated": date, "direction": direction, "error_code": None,
            "error_message": None, "from": "+15550000002", "to": "+15550000001", "messaging_service_sid": None,
            "num_media": "0", "num_segments": "1", "price": None, "price_unit": None, "status": "received",
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}.json", "subresource_uris": {},
        } | more  # fmt: skip
        self.messages.append(given)

    def attach(self, message_sid: str, media_sid: str, content_type: str) -> None:
        """Record an attachment of a message."""
        path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message_sid}/Media/{media_sid}.json"
        given = {"sid": media_sid, "content_type": content_type, "parent_sid": message_sid, "uri": path}
        self.media.setdefault(message_sid, []).append(given)

    # -- what it answers ---------------------------------------------------------------------------------------------

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, Record]:
        """Answer a GET."""
        account = f"/2010-04-01/Accounts/{self.account_sid}"
        lists: dict[str, tuple[str, list[Record]]] = {
            f"{account}/IncomingPhoneNumbers.json": ("incoming_phone_numbers", self.numbers),
            f"{account}/Messages.json": ("messages", self._wanted(query)),
            "/v1/Services": ("services", self.services),
            "/v2/Channels/Senders": ("senders", self.senders),
        }
        for sid, numbers in self.service_numbers.items():
            lists[f"/v1/Services/{sid}/PhoneNumbers"] = ("phone_numbers", numbers)
        for sid, media in self.media.items():
            lists[f"{account}/Messages/{sid}/Media.json"] = ("media_list", media)
        if path == f"{account}.json":
            return 200, {"sid": self.account_sid, "status": self.status, "friendly_name": "an account"}
        for sid, application in self.applications.items():
            if path == f"{account}/Applications/{sid}.json":
                return 200, {"sid": sid} | application
        if path not in lists:
            return 404, {"code": 20404, "message": f"The requested resource {path} was not found", "status": 404}
        return 200, _page(path, query, *lists[path])

    def _wanted(self, query: Mapping[str, str]) -> list[Record]:
        found = [each for each in self.messages if query.get("To") in {None, each["to"]}]
        return list(reversed(found))


def _page(path: str, query: Mapping[str, str], name: str, records: list[Record]) -> Record:
    start = int(query.get("Page", "0")) * _PAGE
    following = f"{path}?Page={start // _PAGE + 1}" + "".join(f"&{key}={query[key]}" for key in ("To",) if key in query)
    more = following if start + _PAGE < len(records) else None
    shown = records[start : start + _PAGE]
    if path.startswith("/2010-04-01"):
        return {name: shown, "next_page_uri": more, "page": start // _PAGE, "page_size": _PAGE, "uri": path}
    url = f"https://messaging.twilio.com{more}" if more else None
    return {name: shown, "meta": {"key": name, "next_page_url": url, "page": start // _PAGE, "page_size": _PAGE}}


def _handler(twilio: TwilioRest) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer with a record, a page of records, or Twilio's error."""
            twilio.requests.append(self.path)
            parts = urlsplit(self.path)
            scheme, _, encoded = (self.headers["Authorization"] or "").partition(" ")
            user, _, password = base64.b64decode(encoded).decode().partition(":")
            if scheme != "Basic" or user != twilio.account_sid or password not in twilio.tokens:
                status, body = 401, {"code": 20003, "message": "Authenticate", "status": 401}
            else:
                query = {name: values[0].replace(" ", "+") for name, values in parse_qs(parts.query).items()}
                status, body = twilio.answer(parts.path, query)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Write nothing: the tests look at `requests`."""

    return Handler
