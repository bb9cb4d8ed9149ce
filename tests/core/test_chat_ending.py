"""Which flows want the event at the end of a web chat, and its fields."""

from typing import Any

import pytest

from router.chat.ending import asks, closed
from router.flow.flex_flow import FlexFlow, Integration
from router.flow.web_chat import WebChat
from router.store.chat_record import Chat

ACCOUNT = "AC" + "5" * 32


def flow(**more: Any) -> FlexFlow:
    """Make a web flow."""
    integration = Integration("external", url="https://a.example")
    return FlexFlow("FO" + "1" * 32, ACCOUNT, "Web", "", "web", "", integration, **more)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, False),
        ({"web_chat": WebChat(state_events=True)}, True),
        ({"extra": {"webhook_filters": ["onMessageAdded", "onConversationStateUpdated"]}}, True),
        ({"extra": {"webhook_filters": ["onMessageAdded"]}}, False),
    ],
)
def test_which_flows_want_the_event_of_a_chats_end(more: dict[str, Any], wanted: bool) -> None:
    """A flow gets the event by WebChat.StateEvents or by its address's webhook filters, and not by default."""
    assert asks(flow(**more)) is wanted


@pytest.mark.parametrize(("by", "reason"), [("visitor", "API"), ("agent", "API"), ("janitor", "TIMER")])
def test_the_event_of_a_chats_end_has_twilios_fields(by: str, reason: str) -> None:
    """The event has Twilio's fields, and the same SID each time it is made, so it is accepted only once."""
    chat = Chat(ACCOUNT, "CH" + "2" * 32, "closed", address="web:IG1", identity="ada", untold="inactive", closed_by=by)
    _, message = closed(chat, 1_500)
    _, again = closed(chat, 99_000)
    assert message.message_sid == again.message_sid
    assert (message.body, message.from_, message.to) == ("", "web:ada", "web:IG1")
    wanted = {
        "EventType": "onConversationStateUpdated",
        "ConversationSid": chat.sid,
        "StateFrom": "inactive",
        "StateTo": "closed",
        "StateUpdated": "1970-01-01T00:00:01.500Z",
        "Reason": reason,
    }
    assert message.params.items() >= wanted.items()
