"""Flex Flows as the store keeps them: JSON without what their key names, and without parameters that have a default.

Names that nearly every flow has are shorter there, and what follows from the rest is left out: millions of flows are to
fit into a store.
"""

import json
from dataclasses import fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from router.flow.flex_flow import FIELDS, FlexFlow, Integration
from router.flow.parameter import default_response, default_retry_policy
from router.flow.web_chat import WebChat


def to_record(flow: FlexFlow, base: str = "") -> str:
    """Return the flow's record: JSON without its SIDs and what has its default; equal flows have equal records.

    `base` is what the reader knows, too: the URL of the integration is stored without it.
    """
    integration = {
        name: value for name, default in _INTEGRATION if (value := getattr(flow.integration, name)) != default
    }
    if flow.integration.retry_policy == default_retry_policy(flow.integration.type):
        del integration["retry_policy"]
    if base and str(integration.get("url", "")).startswith(f"{base}/"):
        integration["url"] = integration["url"].removeprefix(base)
    record = {_SHORT.get(name, name): value for name, default in _FLOW if (value := getattr(flow, name)) != default}
    if flow.response == default_response(flow.integration.type):
        del record["response"]
    record["updated"] = flow.date_updated
    if flow.date_updated == flow.date_created:
        del record["updated"]
    record["to"] = integration
    if "web_chat" in record:
        record["web_chat"] = flow.web_chat.record()
    if flow.extra:
        record["extra"] = dict(flow.extra)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def from_record(record: str, account_sid: str, sid: str, base: str = "") -> FlexFlow:
    """Read what `to_record` wrote with the same `base`; parameters that a newer version added are ignored.

    Flows are read far more often than they change, so the flows that were read last are cached, except very long ones.
    """
    return (_read_once if len(record) <= _REMEMBERED else _read)(record, account_sid, sid, base)


@lru_cache(maxsize=4096)
def _read_once(record: str, account_sid: str, sid: str, base: str) -> FlexFlow:
    return _read(record, account_sid, sid, base)


def _read(record: str, account_sid: str, sid: str, base: str) -> FlexFlow:
    own = {_LONG.get(name, name): value for name, value in _decode(record).items()}
    integration = own.pop("integration")
    if integration.get("url", "").startswith("/"):
        integration["url"] = base + integration["url"]
    if "date_created" in own:
        own.setdefault("date_updated", own["date_created"])
    for name in _LISTS & own.keys():
        own[name] = tuple(own[name])
    for name in _LISTS_OF_INTEGRATION & integration.keys():
        integration[name] = tuple(integration[name])
    if "web_chat" in own:
        own["web_chat"] = WebChat.read(own["web_chat"])
    if "extra" in own:
        own["extra"] = MappingProxyType(own["extra"])
    made = _integration(tuple(_only(integration, _KNOWN_INTEGRATION).items()))
    return FlexFlow(sid, account_sid, integration=made, **_only(own, _KNOWN))


def _only(given: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the parameters that this version knows."""
    return given if given.keys() <= known else {name: value for name, value in given.items() if name in known}


@lru_cache(maxsize=1024)
def _integration(values: tuple[tuple[str, Any], ...]) -> Integration:
    """Make an integration; the flows of many addresses often have the same."""
    return Integration(**dict(values))


# Names of parameters that a record has in place of longer ones.
_SHORT: Final = {
    "friendly_name": "name",
    "chat_service_sid": "service",
    "channel_type": "channel",
    "contact_identity": "address",
    "integration": "to",
    "date_created": "created",
    "date_updated": "updated",
}
_LONG: Final = {short: name for name, short in _SHORT.items()}
_decode: Final = json.JSONDecoder().decode
# Characters of the longest record that is cached: 4,096 such records take 16 MB.
_REMEMBERED: Final = 4096
# JSON has lists where a flow, which has to be hashable, has tuples.
_LISTS: Final = frozenset(each.attribute for each in FIELDS if isinstance(each.default, tuple))
_LISTS_OF_INTEGRATION: Final = frozenset(
    each.removeprefix("integration.") for each in _LISTS if each.startswith("integration.")
)
# What the key of a record names: 95 bytes of some 430.
_NAMED: Final = frozenset(("sid", "account_sid"))
_FLOW: Final = tuple(
    (each.name, each.default) for each in fields(FlexFlow) if each.name != "extra" and each.name not in _NAMED
)
_INTEGRATION: Final = tuple((each.name, each.default) for each in fields(Integration))
_KNOWN: Final = frozenset(each.name for each in fields(FlexFlow)) - _NAMED - {"integration"}
_KNOWN_INTEGRATION: Final = frozenset(each.name for each in fields(Integration))
