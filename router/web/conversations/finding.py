"""Shared by the resources of chats: authentication, URLs, and finding a chat."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

from flask import request

from router.chat.resource import service_of
from router.settings import Account, Settings
from router.sid import is_sid
from router.store import Store
from router.store.chat_record import Chat
from router.web.auth import identify
from router.web.errors import ApiError, invalid
from router.web.paging import base_url

# Twilio's limits: https://www.twilio.com/docs/conversations/conversations-limits
ATTRIBUTES_MOST: Final = 16 * 1024
NAME_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for chats: its account, the service in its path ("" for none), and the base of its URLs."""

    account: Account
    service: str
    base: str


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds the chats of a request."""

    settings: Settings
    store: Store

    def asked(self, service: str) -> Asked:
        """Authenticate a request, and return its account, service and base URL."""
        account = identify(request, self.settings).account
        if service and not is_sid(service, "IS"):
            raise ApiError(404, 20404, f"There is no conversation service {service[:40]!r}")
        under = f"/Services/{service}" if service else ""
        return Asked(account, service, f"{base_url(request, self.settings)}/v1{under}")

    def chat(self, service: str, name: str) -> tuple[Asked, Chat]:
        """Authenticate a request, and return it with its chat, by SID or unique name; raise ApiError 404."""
        asked, chats = self.asked(service), self.store.chats
        found = chats.get(asked.account.sid, name) if is_sid(name, "CH") else chats.named(asked.account.sid, name)
        if found is None or not self.is_of(asked, found):
            raise ApiError(
                404,
                20404,
                f"The requested resource {request.path} was not found: this router has no chat {name[:40]!r}. "
                "Conversations at Twilio are at conversations.twilio.com",
            )
        return asked, found

    def is_of(self, asked: Asked, chat: Chat) -> bool:
        """Return whether a chat belongs to the service in the path, if there is one."""
        return not asked.service or service_of(chat) == asked.service


def now_ms() -> int:
    """Return the current time in ms since 1970."""
    return time.time_ns() // 1_000_000


def read_attributes(form: Any, name: str = "Attributes") -> str | None:
    """Return attributes, which are JSON as text; None if the form has none."""
    text = form.get(name)
    if text is None:
        return None
    if len(text.encode()) > ATTRIBUTES_MOST:
        raise invalid(name, f"at most {ATTRIBUTES_MOST} bytes are allowed")
    try:
        json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise invalid(name, "is not valid JSON") from None
    return text or "{}"


def read_text(form: Any, name: str, most: int = NAME_MOST) -> str:
    """Return a text of one line; "" if the form does not have it."""
    text: str = form.get(name, "")
    if len(text) > most:
        raise invalid(name, f"at most {most} characters are allowed, not {len(text)}")
    if not text.isprintable():
        raise invalid(name, "control characters are not allowed")
    return text
