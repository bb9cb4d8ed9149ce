"""The web console at /console/: pages for people who work with messages and addresses.

Pages are rendered on the server and need no JavaScript: a list is a GET whose query is the filter, an action is a
posted form that is answered with 303. Data and actions come from `router.queries`; the console has no rules of routing,
delivery or flows. A page consists of a module with a `register` function, a template, a link in templates/layout.html,
and an entry in `_PAGES`, below.

People sign in with one of two shared passwords. Named users (OpenID Connect, a proxy's header) would be another way to
begin a session: `router.web.console.sign_in`.
"""

from typing import Final

from flask import Blueprint

from router.chat.ending import Ending
from router.routing.resolve import Likelihood
from router.settings import Settings
from router.store import Store
from router.web.console import (
    address_edit,
    addresses,
    chats,
    contacts,
    dead_letters,
    explain,
    guard,
    message,
    messages,
    migration,
    overview,
    readings,
    replays,
    sign_in,
    static,
)
from router.web.console.desk import Desk

_PAGES: Final = (
    messages, message, dead_letters, replays, addresses, address_edit, migration, explain, contacts, chats, readings,
    overview,
)  # fmt: skip


def blueprint(settings: Settings, store: Store, likelihood: Likelihood, ending: Ending) -> Blueprint:
    """Return the console; without ROUTER_ADMIN_PASSWORD it has no pages."""
    console = Blueprint("console", __name__, url_prefix="/console")
    if settings.admin_password is None:
        return console
    desk = Desk(settings, store, likelihood, ending)
    guard.register(console, desk)
    static.register(console)
    sign_in.register(console, desk)
    for module in _PAGES:
        module.register(console, desk)
    return console
