"""A fake Twilio on loopback with TaskRouter, Conversations, Interactions and Proxy, as Twilio's pages describe them.

The format of its answers is compared with the official client (test_official_client).
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from tests.e2e.twilio_rest import TwilioRest, _basic, _error
from tests.twilio.conversations import Conversations
from tests.twilio.proxy_sessions import ProxySessions
from tests.twilio.task_router import TaskRouter
from tests.twilio.wire import Answered, Record, problem


class LocalTwilio(TwilioRest):
    """An account at Twilio that also has these products.

    `log` has every request to them, such as `POST Participants`. `fault` is called before each request, and returns an
    answer to give instead, or None. `lost` has the numbers of requests that are carried out but not answered, `unsent`
    of those that are neither carried out nor answered.
    """

    def __init__(self, account_sid: str, *tokens: str) -> None:
        self.tasks = TaskRouter(account_sid)
        self.conversations = Conversations(account_sid)
        self.sessions = ProxySessions(account_sid)
        self.log: list[str] = []
        self.forms: list[Record] = []
        self.lost: set[int] = set()
        self.unsent: set[int] = set()
        self.fault: Callable[[str], Answered | None] = lambda _: None
        self.conversations.on_interaction = self.tasks.of_interaction
        super().__init__(account_sid, *tokens)

    def respond(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Record | None, dict[str, str]]:
        """Answer requests to these products, and pass the others on to the base class."""
        parts = urlsplit(target)
        form = dict(parse_qsl(body.decode() if body else parts.query, keep_blank_values=True))
        authorized = headers.get("Authorization") in {_basic(self.account_sid, token) for token in self.tokens}
        number, name = len(self.log), f"{method} {_resource(parts.path)}"
        if authorized and number in self.unsent and _ours(parts.path):
            self.log.append(name)
            self.forms.append(form)
            return 0, None, {}
        if authorized and _ours(parts.path) and (instead := self.fault(name)):
            self.log.append(name)
            self.forms.append(form)
            return instead
        for product in (self.tasks, self.conversations, self.sessions):
            if not authorized:
                break
            answered = product.route(method, parts.path, form, headers)
            if answered is not None:
                self.log.append(name)
                self.forms.append(form)
                return (0, None, {}) if number in self.lost else answered
        if not authorized and _ours(parts.path):
            return *_error(401, 20003, "Authenticate"), {}
        return super().respond(method, target, body, headers)

    def clear(self) -> None:
        """Forget all conversations and requests."""
        self.conversations.found.clear()
        for each in (self.log, self.forms, self.lost, self.unsent):
            each.clear()

    def writes(self) -> list[str]:
        """Return the requests that change something."""
        return [each for each in self.log if not each.startswith("GET ")]


def busy(seconds: int = 1) -> Answered:
    """Return an answer with 429."""
    return problem(429, 20429, "Too Many Requests", Retry_After=str(seconds))


def _ours(path: str) -> bool:
    return _resource(path) in {
        "Tasks", "Workspaces", "Workflows", "Conversations", "Participants", "Messages", "Webhooks", "Interactions",
        "ParticipantConversations", "Sessions",
    } and not path.startswith("/2010")  # fmt: skip


def _resource(path: str) -> str:
    """Return a path's resource: its last part that is neither SID nor name."""
    named = [part for part in path.split("/") if part[:1].isupper() and not part[2:3].isdigit() and len(part) != 34]
    return named[-1] if named else path
