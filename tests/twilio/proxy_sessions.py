"""A fake of Proxy's sessions and participants. Sessions can only be listed by service: there is no filter by address.

https://www.twilio.com/docs/proxy/api/session and https://www.twilio.com/docs/proxy/api/participant
"""

import re
from collections.abc import Mapping

from tests.twilio.wire import Answered, Record, problem

_PATH = re.compile(r"/v1/Services/(?P<service>KS\w{32})(?:/Sessions(?:/(?P<session>KC\w{32})/Participants)?)?")


class ProxySessions:
    """Sessions of Proxy services; `page` is the largest page, whatever PageSize is."""

    def __init__(self, account_sid: str) -> None:
        self.account_sid = account_sid
        self.services: set[str] = set()
        self.sessions: dict[str, Record] = {}
        self.people: dict[str, list[Record]] = {}
        self.page = 50

    def open(self, service: str, theirs: str, ours: str, status: str = "in-progress") -> str:
        """Make a session of a customer, and return its SID."""
        self.services.add(service)
        sid = f"KC{len(self.sessions):032x}"
        self.sessions[sid] = {"sid": sid, "service_sid": service, "account_sid": self.account_sid, "status": status}
        self.people[sid] = [
            {"sid": f"KP{2 * len(self.sessions):032x}", "identifier": theirs, "proxy_identifier": ours},
            {"sid": f"KP{2 * len(self.sessions) + 1:032x}", "identifier": "agent", "proxy_identifier": ""},
        ]
        return sid

    def close(self, sid: str) -> None:
        """End a session."""
        self.sessions[sid]["status"] = "closed"

    def route(self, method: str, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answered | None:
        """Answer a request, None for one of another product; a GET's query is its form."""
        del method, headers
        matched = _PATH.fullmatch(path)
        if matched is None:
            return None
        if matched["service"] not in self.services:
            return problem(404, 20404, f"The requested resource {path} was not found")
        if matched["session"]:
            rows, key = self.people.get(matched["session"], []), "participants"
        elif path.endswith("/Sessions"):
            rows = [each for each in self.sessions.values() if each["service_sid"] == matched["service"]]
            key = "sessions"
        else:
            return 200, {"sid": matched["service"], "account_sid": self.account_sid, "unique_name": "flex"}, {}
        number, size = int(form.get("Page", 0)), min(int(form.get("PageSize", 50)), self.page)
        following = None
        if (number + 1) * size < len(rows):
            following = f"https://proxy.twilio.com{path}?PageSize={size}&Page={number + 1}&PageToken=PT{number + 1}"
        meta = {"key": key, "page": number, "page_size": size, "next_page_url": following}
        return 200, {key: rows[number * size : (number + 1) * size], "meta": meta}, {}
