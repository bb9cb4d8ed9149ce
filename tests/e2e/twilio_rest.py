"""A fake of Twilio's REST API on loopback, as far as the router uses it: records and paged lists in Twilio's format.

https://www.twilio.com/docs/usage/api and the pages that `twilio_record` names.
"""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

from tests.e2e import twilio_record as write
from tests.e2e.twilio_record import Record

_MESSAGING: Final = "https://messaging.twilio.com"
_WEB_URL: Final = re.compile(r"|https?://[^\s/]+\S*")


class TwilioRest:
    """An account at Twilio, with numbers and messages that a test adds; it records the requests.

    `most`: the largest page, whatever PageSize is. `refuse`: error statuses by the number of the page. `missing`: paths
    of lists that are answered 404. `next_host`: the host in the links to other pages, "" for Twilio's own. Requests are
    answered only while `released` is set. `updates_answered`: the status for requests that change a record, 0 to close
    the connection without an answer after the change; `before_update` is called before each change.

    Args:
        account_sid: the account.
        tokens: its auth tokens, which are all accepted.
    """

    def __init__(self, account_sid: str, *tokens: str) -> None:
        self.account_sid = account_sid
        self.tokens = set(tokens)
        self.status = "active"
        self.flex_flows: list[Record] = []
        self.addresses: list[Record] = []
        self.numbers: list[Record] = []
        self.services: list[Record] = []
        self.service_numbers: dict[str, list[Record]] = {}
        self.applications: dict[str, Record] = {}
        self.senders: list[Record] = []
        self.messages: list[Record] = []
        self.media: dict[str, list[Record]] = {}
        self.requests: list[str] = []
        self.updates: list[tuple[str, Record]] = []
        self.most = 2
        self.refuse: dict[int, int] = {}
        self.missing: set[str] = set()
        self.next_host = ""
        self.updates_answered = 200
        self.before_update: Callable[[], object] = lambda: None
        self.released = threading.Event()
        self.released.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        """The value for ROUTER_TWILIO_API_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # -- records of the account --------------------------------------------------------------------------------------

    def number(self, number: str, sms_url: str = "", **more: Any) -> Record:
        """Add a number."""
        sid = f"PN{len(self.numbers):032x}"
        self.numbers.append(write.phone_number(self.account_sid, sid, number, sms_url=sms_url, **more))
        return self.numbers[-1]

    def service(self, sid: str, url: str | None, *numbers: str, **more: Any) -> Record:
        """Add a Messaging Service with numbers; without a URL the numbers' own webhooks are used."""
        self.services.append(write.service(self.account_sid, sid, url, **more))
        self.service_numbers[sid] = [
            {"sid": f"PN{n:032x}", "phone_number": number, "service_sid": sid} for n, number in enumerate(numbers)
        ]
        return self.services[-1]

    def sender(self, number: str, callback_url: str = "", **webhook: Any) -> Record:
        """Add a WhatsApp sender."""
        self.senders.append(write.sender(f"XE{len(self.senders):032x}", number, callback_url, **webhook))
        return self.senders[-1]

    def message(self, sid: str, created: datetime, **more: Any) -> None:
        """Add a message; lists have the newest first, as Twilio's do."""
        self.messages.append(write.message(self.account_sid, sid, format_datetime(created), **more))

    def attach(self, message_sid: str, media_sid: str, content_type: str) -> None:
        """Add an attachment of a message."""
        path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message_sid}/Media/{media_sid}.json"
        given = {"sid": media_sid, "content_type": content_type, "parent_sid": message_sid, "uri": path}
        self.media.setdefault(message_sid, []).append(given)

    # -- answers -----------------------------------------------------------------------------------------------------

    def respond(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Record | None, dict[str, str]]:
        """Return status, body and headers for a request; status 0 closes the connection without an answer."""
        del method
        kind = headers.get("Content-Type", "")
        return *self.answer(target, body, headers.get("Authorization"), kind), {}

    def answer(self, target: str, body: bytes, authorization: str | None, content_type: str) -> tuple[int, Record]:
        """Return status and body for a request; `body` is empty for a GET."""
        self.requests.append(target)
        self.released.wait(10)
        parts = urlsplit(target)
        if authorization not in {_basic(self.account_sid, token) for token in self.tokens}:
            return _error(401, 20003, "Authenticate")
        if body:
            is_json = content_type.startswith("application/json")
            return self._update(parts.path, json.loads(body) if is_json else dict(parse_qsl(body.decode(), True)))
        query = {name: values[0].replace(" ", "+") for name, values in parse_qs(parts.query).items()}
        if record := self._record(parts.path):
            return 200, record
        if (found := self._lists(query).get(parts.path)) and parts.path not in self.missing:
            return self._page(parts.path, query, *found)
        return _error(404, 20404, f"The requested resource {parts.path} was not found")

    def _lists(self, query: Mapping[str, str]) -> dict[str, tuple[str, str, list[Record]]]:
        """Return each list by its path: the name of its records, its host, and the records."""
        account = f"/2010-04-01/Accounts/{self.account_sid}"
        numbers = [each for each in self.numbers if query.get("PhoneNumber") in {None, each["phone_number"]}]
        messages = [each for each in self.messages if query.get("To") in {None, each["to"]}]
        messages.sort(key=lambda each: parsedate_to_datetime(str(each["date_created"])))
        messages.reverse()  # newest first, also within one second
        found = {
            f"{account}/IncomingPhoneNumbers.json": ("incoming_phone_numbers", "", numbers),
            f"{account}/Messages.json": ("messages", "", messages),
            "/v1/Services": ("services", _MESSAGING, self.services),
            "/v2/Channels/Senders": ("senders", _MESSAGING, self.senders),
            "/v1/FlexFlows": ("flex_flows", "https://flex-api.twilio.com", self.flex_flows),
            "/v1/Configuration/Addresses": (
                "address_configurations",
                "https://conversations.twilio.com",
                self.addresses,
            ),
        }
        for sid, records in self.service_numbers.items():
            found[f"/v1/Services/{sid}/PhoneNumbers"] = ("phone_numbers", _MESSAGING, records)
        for sid, records in self.media.items():
            found[f"{account}/Messages/{sid}/Media.json"] = ("media_list", "", records)
        return found

    def _record(self, path: str) -> Record | None:
        """Return the record that has a path of its own."""
        account = f"/2010-04-01/Accounts/{self.account_sid}"
        if path == f"{account}.json":
            return {"sid": self.account_sid, "status": self.status, "friendly_name": "an account"}
        for sid, application in self.applications.items():
            if path == f"{account}/Applications/{sid}.json":
                return {"sid": sid} | application
        for record in (*self.numbers, *self.services, *self.senders):
            if path == record.get("uri", urlsplit(record.get("url", "")).path):
                return record
        return None

    def _update(self, path: str, given: Record) -> tuple[int, Record]:
        """Change a record, as its resource documents it; fields that are not named stay."""
        record = self._record(path)
        self.before_update()
        if record is None:
            return _error(404, 20404, f"The requested resource {path} was not found")
        if self.updates_answered >= 400:
            return _error(self.updates_answered, 20500, "An internal server error has occurred")
        for name, value in given.items():
            if name.endswith(("Url", "URL")) and not _WEB_URL.fullmatch(value):
                return _error(400, 21502, f"{name} is not a valid URL: {value}")
        self.updates.append((path, given))
        if "webhook" in given:
            record["webhook"] = record["webhook"] | given["webhook"]
            return 202 * bool(self.updates_answered), record
        for name, value in given.items():
            # Parameters become snake_case; a form has booleans as words, and an empty URL of a service becomes null.
            key = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
            known = value == "true" if isinstance(record[key], bool) else value
            record[key] = known if known != "" or key.startswith("sms_") else None
        return self.updates_answered, record

    def _page(
        self, path: str, query: Mapping[str, str], name: str, host: str, records: list[Record]
    ) -> tuple[int, Record]:
        number, size = int(query.get("Page", "0")), min(int(query.get("PageSize", "50")), self.most)
        if number in self.refuse:
            return _error(self.refuse[number], 20500, "An internal server error has occurred")
        kept = "".join(f"&{key}={query[key].replace('+', '%2B')}" for key in ("To",) if key in query)
        link = f"{self.next_host or host}{path}?PageSize={size}{kept}&Page="
        following = f"{link}{number + 1}&PageToken=PT{number + 1}" if (number + 1) * size < len(records) else None
        before = f"{link}{number - 1}" if number else None
        links = [("first_page", f"{link}0"), ("previous_page", before), ("next_page", following)]
        shown, where = {name: records[number * size : (number + 1) * size]}, {"page": number, "page_size": size}
        if path.startswith("/2010-04-01"):
            return 200, shown | where | {f"{key}_uri": value for key, value in links} | {"uri": f"{link}{number}"}
        meta = where | {f"{key}_url": value for key, value in links} | {"url": f"{link}{number}", "key": name}
        return 200, shown | {"meta": meta}


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _error(status: int, code: int, message: str) -> tuple[int, Record]:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": message, "more_info": more_info, "status": status}


def _handler(twilio: TwilioRest) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one write, which waits for nothing

        def do_GET(self) -> None:
            """Answer with a record, a page of records, or Twilio's error."""
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, answer, more = twilio.respond(self.command, self.path, body, dict(self.headers.items()))
            if not status:
                self.close_connection = True
                return
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the base class's name
        do_DELETE = do_GET  # noqa: N815 - the same

        def log_message(self, *_: object) -> None:
            """Write nothing: the tests look at `requests`."""

    return Handler
