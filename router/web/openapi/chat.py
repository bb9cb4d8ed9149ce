"""The part of the OpenAPI document on web chats: WebChats, WebChannels, and Conversations under both prefixes."""

from collections.abc import Mapping
from typing import Any, Final

from router.web.openapi.kind import (
    COUNT,
    DATE,
    TEXT,
    TEXT_OR_NULL,
    URL,
    Schema,
    exactly,
    one_of,
    or_null,
    page,
    sid,
)
from router.web.openapi.operation import Operation, paged

_STATE: Final = one_of(("active", "inactive", "closed"))
_JSON: Final = TEXT | {"description": "JSON"}
_TIMERS: Final[Schema] = {"type": "object", "additionalProperties": DATE}
_LINKS: Final[Schema] = {"type": "object", "additionalProperties": URL}
_OF: Final = {"account_sid": sid("AC"), "conversation_sid": sid("CH")}
_DATES: Final = {"date_created": DATE, "date_updated": DATE}
_NULL: Final[Schema] = {"type": "null"}

_CONVERSATION: Final = exactly(
    {
        "sid": sid("CH"),
        "account_sid": sid("AC"),
        "chat_service_sid": sid("IS"),
        "messaging_service_sid": _NULL,
        "friendly_name": TEXT_OR_NULL,
        "unique_name": TEXT_OR_NULL,
        "attributes": _JSON,
        "state": _STATE,
        "timers": _TIMERS,
        "bindings": {"type": "object"},
        **_DATES,
        "url": URL,
        "links": _LINKS,
    }
)
_MESSAGE: Final = exactly(
    {
        "sid": sid("IM"),
        **_OF,
        "index": COUNT,
        "author": TEXT,
        "body": TEXT,
        "media": _NULL,
        "attributes": _JSON,
        "participant_sid": or_null(sid("MB")),
        **_DATES,
        "delivery": _NULL,
        "content_sid": _NULL,
        "url": URL,
        "links": _LINKS,
    }
)
_PARTICIPANT: Final = exactly(
    {
        "sid": sid("MB"),
        **_OF,
        "identity": TEXT,
        "attributes": _JSON,
        "messaging_binding": _NULL,
        "role_sid": _NULL,
        "last_read_message_index": or_null(COUNT),
        "last_read_timestamp": or_null(DATE),
        **_DATES,
        "url": URL,
    }
)
_WEBHOOK: Final = exactly(
    {
        "sid": sid("WH"),
        **_OF,
        "target": {"const": "webhook"},
        "url": URL,
        "configuration": {"type": "object"},
        **_DATES,
    }
)
_OF_PARTICIPANT: Final = exactly(
    {
        **_OF,
        "chat_service_sid": sid("IS"),
        "participant_sid": sid("MB"),
        "participant_user_sid": _NULL,
        "participant_identity": TEXT,
        "participant_messaging_binding": _NULL,
        "conversation_unique_name": TEXT_OR_NULL,
        "conversation_friendly_name": TEXT_OR_NULL,
        "conversation_attributes": _JSON,
        "conversation_date_created": DATE,
        "conversation_date_updated": DATE,
        "conversation_created_by": TEXT,
        "conversation_state": _STATE,
        "conversation_timers": _TIMERS,
        "links": _LINKS,
    }
)
_CHANNEL: Final = exactly(
    {"sid": sid("CH"), "account_sid": sid("AC"), "flex_flow_sid": or_null(sid("FO")), **_DATES, "url": URL}
)


def _form(properties: Mapping[str, Schema], *required: str) -> Schema:
    shape: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    return shape | ({"required": list(required)} if required else {})


_NAMES: Final = {"ChatFriendlyName": TEXT, "CustomerFriendlyName": TEXT, "PreEngagementData": _JSON, "Identity": TEXT}
_DURATION: Final = TEXT | {"description": "ISO 8601 duration such as PT10M"}
_CHANGES: Final = {
    "FriendlyName": TEXT,
    "UniqueName": TEXT,
    "Attributes": _JSON,
    "State": _STATE,
    "Timers.Inactive": _DURATION,
    "Timers.Closed": _DURATION,
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "WebChat": exactly({"conversation_sid": sid("CH"), "identity": TEXT}),
    "WebChatCreate": _form({"AddressSid": sid("IG|FO")} | _NAMES, "AddressSid"),
    "WebChannel": _CHANNEL,
    "WebChannelPage": page("flex_chat_channels", "WebChannel"),
    "WebChannelCreate": _form(
        {"FlexFlowSid": sid("FO|IG"), "ChatUniqueName": TEXT} | _NAMES,
        "FlexFlowSid",
        "Identity",
        "CustomerFriendlyName",
        "ChatFriendlyName",
    ),
    "WebChannelUpdate": _form({"ChatStatus": one_of(("inactive",)), "PostEngagementData": _JSON}),
    "Conversation": _CONVERSATION,
    "ConversationPage": page("conversations", "Conversation"),
    "ConversationWrite": _form(_CHANGES),
    "ChatMessage": _MESSAGE,
    "ChatMessagePage": page("messages", "ChatMessage"),
    "ChatMessageCreate": _form({"Author": TEXT, "Body": TEXT, "Attributes": _JSON}, "Body"),
    "ChatMessageUpdate": _form({"Author": TEXT, "Body": TEXT, "Attributes": _JSON}),
    "Participant": _PARTICIPANT,
    "ParticipantPage": page("participants", "Participant"),
    "ParticipantCreate": _form({"Identity": TEXT, "Attributes": _JSON}, "Identity"),
    "ParticipantUpdate": _form({"Attributes": _JSON, "LastReadMessageIndex": COUNT, "Typing": one_of(("true",))}),
    "Webhook": _WEBHOOK,
    "WebhookPage": page("webhooks", "Webhook"),
    "ParticipantConversation": _OF_PARTICIPANT,
    "ParticipantConversationPage": page("conversations", "ParticipantConversation"),
}
PLACES: Final[dict[str, Schema]] = {
    "ChatServiceSid": sid("IS"),
    "ConversationSid": TEXT | {"description": "`CH…`, or the unique name"},
    "ParticipantSid": TEXT | {"description": "`MB…`, or the identity"},
    "WebhookSid": sid("WH"),
}


def _conversations(prefix: str, of: str) -> dict[str, dict[str, Operation]]:
    """Return the operations of Conversations under one prefix; `of` is a part of their names."""
    one = f"{prefix}/Conversations/{{ConversationSid}}"
    order = {"Order": one_of(("asc", "desc"))}
    return {
        f"{prefix}/Conversations": {
            "get": Operation(
                f"list{of}Conversations", "List web chats, the last active first", (200, "ConversationPage"), (400,),
                query=paged({"State": _STATE}, most=100),
            ),
            "post": Operation(
                f"create{of}Conversation", "Create a chat without a visitor", (201, "Conversation"), (400, 409),
                form="ConversationWrite",
            ),
        },
        one: {
            "get": Operation(f"fetch{of}Conversation", "Fetch a web chat", (200, "Conversation"), (404,)),
            "post": Operation(
                f"update{of}Conversation", "Change or close a web chat", (200, "Conversation"), (400, 404, 409),
                form="ConversationWrite",
            ),
            "delete": Operation(f"delete{of}Conversation", "Erase a web chat", (204, ""), (404,)),
        },
        f"{one}/Messages": {
            "get": Operation(
                f"list{of}ChatMessages", "List the messages of a chat", (200, "ChatMessagePage"), (400, 404),
                query=paged(order, most=100),
            ),
            "post": Operation(
                f"create{of}ChatMessage", "Write to the visitor", (201, "ChatMessage"), (400, 404),
                form="ChatMessageCreate",
            ),
        },
        f"{one}/Messages/{{MessageSid}}": {
            "get": Operation(f"fetch{of}ChatMessage", "Fetch a message", (200, "ChatMessage"), (404,)),
            "post": Operation(
                f"update{of}ChatMessage", "Change a message", (200, "ChatMessage"), (400, 404), form="ChatMessageUpdate"
            ),
            "delete": Operation(f"delete{of}ChatMessage", "Remove a message", (204, ""), (404,)),
        },
        f"{one}/Participants": {
            "get": Operation(
                f"list{of}Participants", "List the participants, the visitor first", (200, "ParticipantPage"),
                (400, 404), query=paged(most=100),
            ),
            "post": Operation(
                f"create{of}Participant", "Add an agent", (201, "Participant"), (400, 404, 409),
                form="ParticipantCreate",
            ),
        },
        f"{one}/Participants/{{ParticipantSid}}": {
            "get": Operation(f"fetch{of}Participant", "Fetch a participant", (200, "Participant"), (404,)),
            "post": Operation(
                f"update{of}Participant", "Change a participant", (200, "Participant"), (400, 404),
                form="ParticipantUpdate",
            ),
            "delete": Operation(
                f"delete{of}Participant", "Remove a participant; the visitor's access ends", (204, ""), (404,)
            ),
        },
        f"{one}/Webhooks": {
            "get": Operation(
                f"list{of}Webhooks", "List the webhook of the chat's flow", (200, "WebhookPage"),
                (400, 404), query=paged(most=100),
            ),
        },
        f"{one}/Webhooks/{{WebhookSid}}": {
            "get": Operation(f"fetch{of}Webhook", "Fetch the webhook of the chat's flow", (200, "Webhook"), (404,)),
        },
        f"{prefix}/ParticipantConversations": {
            "get": Operation(
                f"list{of}ParticipantConversations", "List the chats of an identity",
                (200, "ParticipantConversationPage"), (400,), query={"Identity": TEXT} | paged(most=100),
            ),
        },
    }  # fmt: skip


OPERATIONS: Final[dict[str, dict[str, Operation]]] = {
    "/v2/WebChats": {
        "post": Operation(
            "createWebChat", "Begin a web chat, as a website's own server does", (201, "WebChat"), (400, 404),
            form="WebChatCreate",
        ),
    },
    "/v1/WebChannels": {
        "get": Operation(
            "listWebChannels", "List web chats, the last active first", (200, "WebChannelPage"), (400,), query=paged()
        ),
        "post": Operation(
            "createWebChannel", "Begin a web chat", (201, "WebChannel"), (400, 404, 409), form="WebChannelCreate"
        ),
    },
    "/v1/WebChannels/{ConversationSid}": {
        "get": Operation("fetchWebChannel", "Fetch a web chat", (200, "WebChannel"), (404,)),
        "post": Operation(
            "updateWebChannel", "Close a web chat", (200, "WebChannel"), (400, 404), form="WebChannelUpdate"
        ),
        "delete": Operation("deleteWebChannel", "Erase a web chat", (204, ""), (404,)),
    },
    **_conversations("/v1", ""),
    **_conversations("/v1/Services/{ChatServiceSid}", "Service"),
}  # fmt: skip
