"""A visitor of a web chat: a browser's requests and what it shows."""

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from router.flow.flex_flow import FlexFlow, Integration, own_address
from router.flow.web_chat import WebChat
from tests.e2e.world import Reply, World
from tests.waiting import wait_until

_NUMBERS: Final = itertools.count(1)


def web_flow(world: World, url: str = "", *, form: str = "", **more: Any) -> FlexFlow:
    """Write a web flow with its own address, to `url` or to the handler `echo`."""
    sid = world.sid("FO")
    flow = FlexFlow(
        sid=sid,
        account_sid=more.pop("account_sid", "AC" + "5" * 32),
        friendly_name="Web",
        chat_service_sid="IS" + "1" * 32,
        channel_type="web",
        contact_identity=more.pop("contact_identity", own_address(sid)),
        integration=more.pop("integration", None)
        or (Integration("external", url=url) if url else Integration("handler", handler="echo")),
        web_chat=more.pop("web_chat", None) or WebChat(form=form),
        date_created=1,
        **more,
    )
    with world.flows() as flows:
        flows.put(flow)
    return flow


class Visitor:
    """One browser of a visitor."""

    def __init__(self, world: World, flow: FlexFlow, *, process: int = 0, **more: Any) -> None:
        self.world = world
        self.process = process
        self.address = f"IG{flow.sid[2:]}"
        self.client_id = f"the browser number {next(_NUMBERS)}"
        self.token = ""
        self.began: dict[str, Any] = {}
        self._more = more

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request to the visitor's API with the token."""
        given = {"Content-Type": "application/json"} | headers
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.world.send(method, path, content, given, process=self.process)

    def begin(self, **more: Any) -> Reply:
        """Start a chat, or continue it."""
        self.token = ""
        asked = {"address": self.address, "client_id": self.client_id} | self._more | more
        reply = self.ask("POST", "/chat/sessions", asked)
        if reply.status < 300:
            self.began = reply.json
            self.token = self.began["token"]
        return reply

    def say(self, body: str, id_: str = "", **more: Any) -> Reply:
        """Send a message."""
        id_ = id_ or f"message {next(_NUMBERS)}"
        return self.ask("POST", "/chat/messages", {"client_message_id": id_, "body": body} | more)

    def news(self, after: int = -1, wait: int = 0) -> dict[str, Any]:
        """Return what is new after a message index."""
        reply = self.ask("GET", f"/chat/events?wait={wait}&after={after}")
        assert reply.status == 200, reply.body
        return dict(reply.json)

    def bodies(self) -> list[str]:
        """Return the texts of the chat, oldest first."""
        return [each["body"] for each in self.news()["messages"]]

    def sees(self, *bodies: str, within: float = 10.0) -> None:
        """Wait until the chat has exactly these texts in this order."""
        wait_until(lambda: self.bodies() == list(bodies), what=f"the visitor sees {bodies}", within=within)

    @contextmanager
    def stream(self, after: int = -1) -> Iterator["Events"]:
        """Open a stream of events."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world.services[self.process].port, timeout=20)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Last-Event-ID": str(after)}
            connection.request("GET", "/chat/events", headers=headers)
            yield Events(connection.getresponse())
        finally:
            connection.close()


class Events:
    """An open event stream."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> tuple[str, dict[str, Any], int | None]:
        """Wait for the next event; return its name, data and id."""
        name, body, id_ = "", {}, None
        while line := self.response.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                body = json.loads(value)
            elif field == "id":
                id_ = int(value)
            elif not line.strip() and name:
                return name, body, id_
        raise EOFError
