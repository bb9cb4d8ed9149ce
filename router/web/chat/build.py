"""Assembles web chat: the visitor's API, the pages, and the REST resources."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint

from router.chat.address import Addresses
from router.chat.ending import Ending
from router.chat.limit import Limits
from router.chat.sending import Sending
from router.chat.streams import Streams
from router.chat.token import Tokens
from router.delivery.intake import Intake
from router.settings import Settings
from router.store import Store
from router.web.chat import pages, routes
from router.web.chat.guard import Guard
from router.web.chat.visitor import VisitorApi
from router.web.conversations import conversations, messages, participants, web_chats
from router.web.conversations.finding import Finder


def blueprints(  # noqa: PLR0913, PLR0917 - its dependencies
    settings: Settings,
    store: Store,
    intake: Intake,
    ending: Ending,
    streams: Streams,
    safe: Callable[[float], None],
    log: Any,
) -> tuple[Blueprint, ...]:
    """Return the routes of web chat.

    Args:
        settings: the settings.
        store: stores the chats.
        intake: accepts visitors' messages.
        ending: ends chats.
        streams: the open event streams of this process.
        safe: raises StoreUnavailable if the store would not keep a message that arrived at this monotonic time.
        log: the logger of the process.
    """
    sending = Sending(store, intake, safe)
    finder = Finder(settings, store)
    api = VisitorApi(
        settings=settings,
        store=store,
        addresses=Addresses(settings, store),
        guard=Guard(Tokens(store.chats.keys), store),
        limits=Limits(store.chats),
        sending=sending,
        ending=ending,
        streams=streams,
    )
    return (
        routes.blueprint(api, log),
        pages.blueprint(api),
        web_chats.blueprint(finder, ending),
        conversations.blueprint(finder, ending),
        messages.blueprint(finder, sending),
        participants.blueprint(finder),
    )
