"""What every page needs: the process's settings and store (`Desk`), and the signed-in person (`View`)."""

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
from router.store.sessions import Session


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages need of the process."""

    settings: Settings
    store: Store
    likelihood: Likelihood
    ending: Ending

    def of(self, account: Account) -> Settings:
        """Return the settings as one account may see them: without the others."""
        alone = self.settings.model_copy(update={"accounts": (account,)})
        alone.__dict__.pop("by_sid", None)
        alone.__dict__.pop("by_api_key", None)
        return alone


@dataclass(frozen=True, slots=True)
class View:
    """One request of a signed-in browser.

    Args:
        base: the base URL at which the browser sees the router.
        session: the session, and with it the role.
        id_: the session's id, from the cookie.
        account: the account that the page is about; None for pages of no account.
        accounts: how many accounts there are.
        now: in seconds since 1970.
    """

    base: str
    session: Session
    id_: str
    account: Account | None
    accounts: int
    now: float

    @property
    def is_admin(self) -> bool:
        """Return whether this person may change anything."""
        return self.session.role == "admin"

    @property
    def reveals(self) -> bool:
        """Return whether addresses are shown in full."""
        return self.session.revealed_until > self.now

    @property
    def who(self) -> str:
        """Return the name for the change log."""
        return f"console {self.session.role}"

    @property
    def sid(self) -> str:
        """Return the account's SID."""
        assert self.account is not None  # noqa: S101 - guard.py has found it for every page of an account
        return self.account.sid

    def to(self, path: str = "", **query: str | float) -> str:
        """Return the path of a page of the account, as `to("messages", status="queued")`."""
        return link(self.base, f"{self.sid}/{path}" if self.account else path, query)


def view() -> View:
    """Return the current request's view."""
    found: View = g.console
    return found


def link(base: str, path: str, query: Mapping[str, Any] | None = None) -> str:
    """Return the path of a page below /console/, for the browser; the base may have a path of its own."""
    given = {name: value for name, value in (query or {}).items() if value not in ("", None)}
    return f"{urlsplit(base).path}/console/{path}{f'?{urlencode(given, doseq=True)}' if given else ''}"


def see(path: str = "", **query: str | float) -> Response:
    """Answer an action: lead the browser to a page of the account, so that a reload repeats nothing."""
    response = redirect(view().to(path, **query), 303)
    assert isinstance(response, Response)  # noqa: S101 - Flask's own; its type says the base class
    return response


def now_ms() -> int:
    """Return the time in ms since 1970."""
    return int(time.time() * 1000)
