"""Flex Flows for the core's tests: one of each integration type, made from forms as a client sends them."""

import json
from collections.abc import Mapping

from hypothesis import strategies as st

from router.flow.flex_flow import FIELDS, FlexFlow
from router.flow.resource import from_parameters

AC = "AC" + "0123456789abcdef" * 2
FO = "FO" + "fedcba9876543210" * 2
HANDLERS = frozenset({"echo", "orders", "other"})
BASE = {"FriendlyName": "Support", "ChatServiceSid": "IS" + "1" * 32, "ChannelType": "sms"}
INTEGRATIONS: dict[str, dict[str, str]] = {
    "proxy": {},
    "studio": {"Integration.FlowSid": "FW" + "2" * 32},
    "external": {"Integration.Url": "https://example.com/messages"},
    "task": {"Integration.WorkspaceSid": "WS" + "3" * 32, "Integration.WorkflowSid": "WW" + "4" * 32},
    "handler": {"Integration.Handler": "echo"},
    "conversation": {},
}

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
_WHOLE = st.integers(min_value=1, max_value=20).map(str)
_FLAG = st.sampled_from(["true", "false", "True", "FALSE"])
# Valid values of each parameter, except those that choose the channel and the integration.
VALUES: Mapping[str, st.SearchStrategy[str]] = {
    "FriendlyName": _TEXT,
    "ChatServiceSid": st.just("IS" + "a" * 32),
    "Enabled": _FLAG,
    "Integration.SigningKey": st.lists(
        _TEXT.map(lambda text: text.replace(",", "").strip()).filter(bool), min_size=1, max_size=2, unique=True
    ).map(", ".join),
    "Integration.ProxyServiceSid": st.just("KS" + "b" * 32),
    "Integration.Channel": _TEXT,
    "Integration.Timeout": _WHOLE,
    "Integration.Priority": _WHOLE,
    "Integration.CreationOnMessage": _FLAG,
    "Integration.TaskAttributes": _TEXT.map(lambda text: json.dumps({"said": text})),
    "Integration.TaskPerConversation": _FLAG,
    "Integration.Interaction": st.just('{"properties": {"workspace_sid": "WS"}}'),
    "Capture": st.sampled_from(["auto", "always", "never"]),
    "MigrateTo": st.just("FO" + "c" * 32),
    "MigratePercent": _WHOLE,
    "Integration.RetryCount": _WHOLE,
    "Integration.RetryPolicy": st.sampled_from(["ct", "5xx,rt", "ALL", "4xx, 5xx", "ct,5xx"]),
    "LongLived": _FLAG,
    "JanitorEnabled": _FLAG,
    "LanguageChange": _FLAG,
    "LanguageCommands": _FLAG,
    "ValidityPeriod": _WHOLE,
    "Language": st.sampled_from(["en", "pt-br,EN", "zh-hant-tw"]),
    "Match": _TEXT.filter(lambda text: not {"'", chr(92)} & {*text}).map(lambda text: f"body == '{text}'\n"),
    "Priority": _WHOLE,
    "Response": st.sampled_from(["accept", "relay"]),
    "Paused": _FLAG,
    "FallbackTwiml": _TEXT.map(lambda text: f"<Response><!-- {text.replace('-', '')} --></Response>"),
    "TestPage": _FLAG,
    "WebChat.AllowedOrigins": st.sampled_from(["https://shop.example", "http://localhost:8080,https://*.shop.example"]),
    "WebChat.RequireIdentity": _FLAG,
    "WebChat.IdentitySecret": _TEXT,
    "WebChat.Form": _TEXT.map(lambda text: json.dumps([{"name": "friendlyName", "label": {"es": text}}])),
    "WebChat.Greeting": _TEXT.map(lambda text: json.dumps({"pt-BR": text})),
    "WebChat.Language": st.sampled_from(["es", "pt-br"]),
    "WebChat.StateEvents": _FLAG,
}
ADDRESSES = (
    ("sms", "+15551234567"),
    ("whatsapp", "whatsapp:+15551234567"),
    ("facebook", "1234567890"),
    ("rcs", "rcs:agent"),
    ("line", "U1"),
    ("custom", "partner:shop"),
    ("web", "chat"),
    ("web", ""),
    ("sms", "*"),
    ("rcs", "MG" + "5" * 32),
)


@st.composite
def forms(draw: st.DrawFn) -> dict[str, str]:
    """Draw the parameters of a valid flow: those it requires and any of the optional ones."""
    channel_type, identity = draw(st.sampled_from(ADDRESSES))
    kind = draw(st.sampled_from(sorted({*INTEGRATIONS} - ({"proxy"} if channel_type == "web" else set()))))
    form = BASE | {"IntegrationType": kind, "ChannelType": channel_type, "ContactIdentity": identity}
    used = [each.wire for each in FIELDS if each.wire in VALUES and each.used_by(kind, channel_type)]
    form |= {wire: draw(VALUES[wire]) for wire in draw(st.sets(st.sampled_from(used)))}
    return form | INTEGRATIONS[kind]


def flow(form: Mapping[str, str] | None = None, *, sid: str = FO, now: int = 1_700_000_000, **more: str) -> FlexFlow:
    """Make a flow from a form; `more` holds parameters without a dot in their names."""
    params = BASE | dict(form or {}) | more
    return from_parameters(params, account_sid=AC, current=None, handlers=HANDLERS, now=now, sid=sid)


def change(current: FlexFlow, form: Mapping[str, str], *, now: int = 1_700_000_500) -> FlexFlow:
    """Return the flow changed by the parameters in a form."""
    return from_parameters(form, account_sid=AC, current=current, handlers=HANDLERS, now=now, sid="")
