"""A request for each documented answer of the web chat resources, at both paths of Conversations."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tests.e2e.world import Reply, World
from tests.web.visitor import web_flow

NOBODY: Final = "0" * 32
SERVICE: Final = "IS" + "1" * 32
Case: TypeAlias = Callable[[World], Reply]


def address(world: World) -> str:
    """Make a web address with a webhook."""
    return f"IG{web_flow(world, 'https://a.example').sid[2:]}"


def chat(world: World, **more: str) -> str:
    """Start a chat and return its SID."""
    form = {"AddressSid": address(world), "Identity": "ada", "PreEngagementData": '{"friendlyName": "Ada"}'}
    reply = world.rest("POST", "/v2/WebChats", form | more)
    assert reply.status == 201, reply.body
    return str(reply.json["conversation_sid"])


def channel(world: World, **more: str) -> Reply:
    """Start a chat by the older resource, WebChannels."""
    names = {"Identity": "ada", "CustomerFriendlyName": "Ada", "ChatFriendlyName": "Chat"}
    return world.rest("POST", "/v1/WebChannels", names | {"FlexFlowSid": address(world)} | more)


def places(world: World) -> dict[str, str]:
    """Make a chat with one of each subresource, and return the SIDs by path parameter."""
    sid = chat(world)
    one = f"/v1/Conversations/{sid}"
    written = world.rest("POST", f"{one}/Messages", {"Body": "Hello", "Attributes": '{"a": 1}'}).json
    added = world.rest("POST", f"{one}/Participants", {"Identity": "agent"}).json
    world.rest("POST", f"{one}/Participants/agent", {"LastReadMessageIndex": "0"})
    world.rest("POST", one, {"UniqueName": sid[2:], "Timers.Closed": "P1D"})
    hook = world.rest("GET", f"{one}/Webhooks").json["webhooks"][0]
    return {
        "ChatServiceSid": SERVICE,
        "ConversationSid": sid,
        "MessageSid": written["sid"],
        "ParticipantSid": added["sid"],
        "WebhookSid": hook["sid"],
    }


def _twice_named(world: World, path: str) -> Reply:
    """Give a chat the UniqueName of another chat."""
    return world.rest("POST", path, {"UniqueName": places(world)["ConversationSid"][2:]})


def _conversations(prefix: str, of: str) -> dict[tuple[str, int], Case]:
    all_ = f"{prefix}/Conversations"

    def here(path: str, method: str = "GET", form: dict[str, str] | None = None) -> Case:
        return lambda w: w.rest(method, f"{all_}/{path}".format(**places(w)), form)

    def nowhere(path: str, method: str = "GET", form: dict[str, str] | None = None) -> Case:
        return lambda w: w.rest(method, f"{all_}/CH{NOBODY}{path}", form)

    def identity(query: str) -> Case:
        def ask(world: World) -> Reply:
            places(world)
            return world.rest("GET", f"{prefix}/ParticipantConversations{query}")

        return ask

    def listed(world: World) -> Reply:
        places(world)
        places(world)
        return world.rest("GET", f"{all_}?PageSize=1&State=active")

    one, messages, who = "{ConversationSid}", "{ConversationSid}/Messages", "{ConversationSid}/Participants"
    hooks = "{ConversationSid}/Webhooks"
    return {
        (f"list{of}Conversations", 200): listed,
        (f"list{of}Conversations", 400): lambda w: w.rest("GET", f"{all_}?State=asleep"),
        (f"create{of}Conversation", 201): lambda w: w.rest("POST", all_, {"FriendlyName": "A"}),
        (f"create{of}Conversation", 400): lambda w: w.rest("POST", all_, {"Attributes": "{"}),
        (f"create{of}Conversation", 409): lambda w: _twice_named(w, all_),
        (f"fetch{of}Conversation", 200): here(one),
        (f"fetch{of}Conversation", 404): nowhere(""),
        (f"update{of}Conversation", 200): here(one, "POST", {"State": "closed"}),
        (f"update{of}Conversation", 400): here(one, "POST", {"Timers.Closed": "soon"}),
        (f"update{of}Conversation", 404): nowhere("", "POST", {}),
        (f"update{of}Conversation", 409): lambda w: _twice_named(w, f"{all_}/{places(w)['ConversationSid']}"),
        (f"delete{of}Conversation", 204): here(one, "DELETE"),
        (f"delete{of}Conversation", 404): nowhere("", "DELETE"),
        (f"list{of}ChatMessages", 200): here(messages),
        (f"list{of}ChatMessages", 400): here(f"{messages}?Order=up"),
        (f"list{of}ChatMessages", 404): nowhere("/Messages"),
        (f"create{of}ChatMessage", 201): here(messages, "POST", {"Body": "Hello", "Author": "agent"}),
        (f"create{of}ChatMessage", 400): here(messages, "POST", {}),
        (f"create{of}ChatMessage", 404): nowhere("/Messages", "POST", {"Body": "Hello"}),
        (f"fetch{of}ChatMessage", 200): here(f"{messages}/{{MessageSid}}"),
        (f"fetch{of}ChatMessage", 404): here(f"{messages}/IM{NOBODY}"),
        (f"update{of}ChatMessage", 200): here(f"{messages}/{{MessageSid}}", "POST", {"Body": "Hi"}),
        (f"update{of}ChatMessage", 400): here(f"{messages}/{{MessageSid}}", "POST", {"Body": ""}),
        (f"update{of}ChatMessage", 404): here(f"{messages}/IM{NOBODY}", "POST", {"Body": "Hi"}),
        (f"delete{of}ChatMessage", 204): here(f"{messages}/{{MessageSid}}", "DELETE"),
        (f"delete{of}ChatMessage", 404): here(f"{messages}/IM{NOBODY}", "DELETE"),
        (f"list{of}Participants", 200): here(who),
        (f"list{of}Participants", 400): here(f"{who}?PageSize=0"),
        (f"list{of}Participants", 404): nowhere("/Participants"),
        (f"create{of}Participant", 201): here(who, "POST", {"Identity": "another"}),
        (f"create{of}Participant", 400): here(who, "POST", {}),
        (f"create{of}Participant", 404): nowhere("/Participants", "POST", {"Identity": "another"}),
        (f"create{of}Participant", 409): here(who, "POST", {"Identity": "agent"}),
        (f"fetch{of}Participant", 200): here(f"{who}/{{ParticipantSid}}"),
        (f"fetch{of}Participant", 404): here(f"{who}/MB{NOBODY}"),
        (f"update{of}Participant", 200): here(f"{who}/ada", "POST", {"LastReadMessageIndex": "0"}),
        (f"update{of}Participant", 400): here(f"{who}/agent", "POST", {"LastReadMessageIndex": "all"}),
        (f"update{of}Participant", 404): here(f"{who}/MB{NOBODY}", "POST", {}),
        (f"delete{of}Participant", 204): here(f"{who}/agent", "DELETE"),
        (f"delete{of}Participant", 404): here(f"{who}/MB{NOBODY}", "DELETE"),
        (f"list{of}Webhooks", 200): here(hooks),
        (f"list{of}Webhooks", 400): here(f"{hooks}?PageSize=0"),
        (f"list{of}Webhooks", 404): nowhere("/Webhooks"),
        (f"fetch{of}Webhook", 200): here(f"{hooks}/{{WebhookSid}}"),
        (f"fetch{of}Webhook", 404): here(f"{hooks}/WH{NOBODY}"),
        (f"list{of}ParticipantConversations", 200): identity("?Identity=ada&PageSize=1"),
        (f"list{of}ParticipantConversations", 400): identity(""),
    }


def _listed_channels(world: World) -> Reply:
    channel(world)
    channel(world)
    return world.rest("GET", "/v1/WebChannels?PageSize=1")


def _update(world: World, form: dict[str, Any]) -> Reply:
    return world.rest("POST", f"/v1/WebChannels/{chat(world)}", form)


CASES: Final[dict[tuple[str, int], Case]] = {
    ("createWebChat", 201): lambda w: w.rest("POST", "/v2/WebChats", {"AddressSid": address(w)}),
    ("createWebChat", 400): lambda w: w.rest("POST", "/v2/WebChats", {}),
    ("createWebChat", 404): lambda w: w.rest("POST", "/v2/WebChats", {"AddressSid": f"IG{NOBODY}"}),
    ("listWebChannels", 200): _listed_channels,
    ("listWebChannels", 400): lambda w: w.rest("GET", "/v1/WebChannels?PageSize=0"),
    ("createWebChannel", 201): channel,
    ("createWebChannel", 400): lambda w: channel(w, Identity=""),
    ("createWebChannel", 404): lambda w: channel(w, FlexFlowSid=f"FO{NOBODY}"),
    ("createWebChannel", 409): lambda w: channel(w, ChatUniqueName=places(w)["ConversationSid"][2:]),
    ("fetchWebChannel", 200): lambda w: w.rest("GET", f"/v1/WebChannels/{chat(w)}"),
    ("fetchWebChannel", 404): lambda w: w.rest("GET", f"/v1/WebChannels/CH{NOBODY}"),
    ("updateWebChannel", 200): lambda w: _update(w, {"ChatStatus": "inactive"}),
    ("updateWebChannel", 400): lambda w: _update(w, {"ChatStatus": "open"}),
    ("updateWebChannel", 404): lambda w: w.rest("POST", f"/v1/WebChannels/CH{NOBODY}", {}),
    ("deleteWebChannel", 204): lambda w: w.rest("DELETE", f"/v1/WebChannels/{chat(w)}"),
    ("deleteWebChannel", 404): lambda w: w.rest("DELETE", f"/v1/WebChannels/CH{NOBODY}"),
    **_conversations("/v1", ""),
    **_conversations(f"/v1/Services/{SERVICE}", "Service"),
}
