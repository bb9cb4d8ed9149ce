"""The context of all pages: the settings and the store (`Desk`), and the signed-in person (`View`)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, g, redirect

from router.chat.ending import Ending
from router.routing.resolve import Likelihood
from router.settings import Account, Settings
from router.store import Store
from router.store.console_sessions import Session


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts of the process that the pages use."""

    settings: Settings
    store: Store
    likelihood: Likelihood
    ending: Ending

    def of(self, account: Account) -> Settings:
        """Return the settings without the other accounts, for the pages of one account."""
        own = self.settings.model_copy(update={"accounts": (account,)})
        own.__dict__.pop("by_sid", None)
        own.__dict__.pop("by_api_key", None)
        return own


@dataclass(frozen=True, slots=True)
class View:
    """One request of a signed-in browser.

    Args:
        base: the base URL at which the browser sees the router.
        session: the session, which has the role.
        id_: the session's id, from the cookie.
        account: the account of the page; None for pages without an account.
        accounts: the number of accounts.
        now: the time in seconds since 1970.
    """

    base: str
    session: Session
    id_: str
    account: Account | None
    accounts: int
    now: float

    @property
    def is_admin(self) -> bool:
        """Whether this person may make changes."""
        return self.session.role == "admin"

    @property
    def reveals(self) -> bool:
        """Whether addresses are shown in full."""
        return self.session.revealed_until > self.now

    @property
    def who(self) -> str:
        """The name of this person in the change log."""
        return f"console {self.session.role}"

    @property
    def sid(self) -> str:
        """The account's SID."""
        assert self.account is not None  # noqa: S101 - guard.py sets it for every page of an account
        return self.account.sid

    def to(self, path: str = "", **query: str | float) -> str:
        """Return the path of a page of the account, for example `to("messages", status="queued")`."""
        return link(self.base, f"{self.sid}/{path}" if self.account else path, query)


def view() -> View:
    """Return the current request's view."""
    found: View = g.console
    return found


def link(base: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return the path of a page below /console/, for the browser; the base may have a path of its own."""
    filled = {name: value for name, value in (query or {}).items() if value not in ("", None)}
    return f"{urlsplit(base).path}/console/{path}{f'?{urlencode(filled, doseq=True)}' if filled else ''}"


def see(path: str = "", **query: str | float) -> Response:
    """Answer an action: redirect the browser to a page of the account, so that a reload does not repeat the action."""
    return go(view().to(path, **query))


def go(path: str) -> Response:
    """Redirect the browser to a path that `link` returned."""
    response = redirect(path, 303)
    assert isinstance(response, Response)  # noqa: S101 - Flask's class; the annotation has its base class
    return response


def now_ms() -> int:
    """Return the current time in ms since 1970."""
    return int(time.time() * 1000)
