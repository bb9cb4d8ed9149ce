"""Twilio's REST API for tests: FlexFlows and Address Configurations in Twilio's shapes, page by page, on loopback."""

import json
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

_LISTS: Final = {
    "/v1/FlexFlows": ("flex_flows", "https://flex-api.twilio.com", 1000),
    "/v1/Configuration/Addresses": ("address_configurations", "https://conversations.twilio.com", 50),
}


def flex_flow(number: int, **more: Any) -> dict[str, Any]:
    """Write FlexFlow `number` as Twilio's page of the resource has it."""
    sid = f"FO{number:032x}"
    return {
        "sid": sid,
        "account_sid": "AC" + "7" * 32,
        "date_created": "2016-08-01T22:10:40Z",
        "date_updated": "2016-08-01T22:10:40Z",
        "friendly_name": f"Flow {number}",
        "chat_service_sid": "IS" + "1" * 32,
        "channel_type": "sms",
        "contact_identity": f"+1555{number:07d}",
        "enabled": True,
        "integration_type": "studio",
        "integration": {"flow_sid": "FW" + "1" * 32, "retry_count": 1},
        "long_lived": False,
        "janitor_enabled": False,
        "url": f"https://flex-api.twilio.com/v1/FlexFlows/{sid}",
    } | more


def address(number: int, creation: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Write Address Configuration `number`, with what its `auto_creation` has beside `enabled`."""
    sid = f"IG{number:032x}"
    return {
        "sid": sid,
        "account_sid": "AC" + "7" * 32,
        "type": "sms",
        "address": f"+1555{number:07d}",
        "friendly_name": f"Address {number}",
        "address_country": None,
        "auto_creation": {"enabled": True, "type": "default", "conversation_service_sid": None} | (creation or {}),
        "date_created": "2016-08-01T22:10:40Z",
        "date_updated": "2016-08-01T22:10:40Z",
        "url": f"https://conversations.twilio.com/v1/Configuration/Addresses/{sid}",
    } | more


class TwilioRest:
    """A server for as long as it is a context.

    `most` bounds its pages, whatever PageSize asks. `refuse` maps a page's number to the status that answers it;
    `next_host` is where it says that the next page is, Twilio's own host when it is "".
    """

    def __init__(self, account_sid: str, token: str) -> None:
        self.flex_flows: list[dict[str, Any]] = []
        self.addresses: list[dict[str, Any]] = []
        self.most = 1000
        self.refuse: dict[int, int] = {}
        self.next_host = ""
        self.requests: list[str] = []
        self.released = threading.Event()
        self.released.set()
        self._basic = "Basic " + b64encode(f"{account_sid}:{token}".encode()).decode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """What ROUTER_TWILIO_API_URL is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, target: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Return status and body for a GET."""
        self.requests.append(target)
        self.released.wait(10)
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        number = int(query.get("Page", ["0"])[0])
        if authorization != self._basic:
            return 401, _error(401, 20003, "Authenticate")
        if number in self.refuse:
            return self.refuse[number], _error(self.refuse[number], 20500, "An internal server error has occurred")
        if path not in _LISTS:
            return 404, _error(404, 20404, f"The requested resource {path} was not found")
        key, host, most = _LISTS[path]
        size = min(int(query.get("PageSize", ["50"])[0]), most, self.most)
        records = self.flex_flows if key == "flex_flows" else self.addresses
        link = f"{self.next_host or host}{path}?PageSize={size}&Page="
        token = f"&PageToken=PT{number + 1}"
        page = records[number * size : (number + 1) * size]
        meta = {
            "page": number,
            "page_size": size,
            "first_page_url": f"{link}0",
            "previous_page_url": f"{link}{number - 1}" if number else None,
            "url": f"{link}{number}",
            "next_page_url": f"{link}{number + 1}{token}" if (number + 1) * size < len(records) else None,
            "key": key,
        }
        return 200, {"meta": meta, key: page}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        rest = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = rest.answer(self.path, self.headers["Authorization"])
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _error(status: int, code: int, message: str) -> dict[str, Any]:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": message, "more_info": more_info, "status": status}
