"""The stored form of Flex Flows: JSON without the SIDs, which are in the key, and without defaults.

Frequent names are shortened, and values that follow from others are left out, so that millions of flows fit into a
store.
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
    """Return the flow's record: JSON without its SIDs and defaults; equal flows have equal records.

    The URL of the integration is stored without the prefix `base`, which the reader must know.
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
    """Read a record that `to_record` made with the same `base`; parameters of a newer version are ignored.

    Flows are read much more often than they change, so the last ones are cached, except very long ones.
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
    """Make an integration; cached, because flows of many addresses often have the same one."""
    return Integration(**dict(values))


# The short names of parameters in a record.
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
# The maximum length of a record that is cached: 4,096 such records take 16 MB.
_REMEMBERED: Final = 4096
# JSON has lists for these attributes; a flow, which must be hashable, has tuples.
_LISTS: Final = frozenset(each.attribute for each in FIELDS if isinstance(each.default, tuple))
_LISTS_OF_INTEGRATION: Final = frozenset(
    each.removeprefix("integration.") for each in _LISTS if each.startswith("integration.")
)
# The attributes that are in a record's key: 95 bytes of about 430.
_NAMED: Final = frozenset(("sid", "account_sid"))
_FLOW: Final = tuple(
    (each.name, each.default) for each in fields(FlexFlow) if each.name != "extra" and each.name not in _NAMED
)
_INTEGRATION: Final = tuple((each.name, each.default) for each in fields(Integration))
_KNOWN: Final = frozenset(each.name for each in fields(FlexFlow)) - _NAMED - {"integration"}
_KNOWN_INTEGRATION: Final = frozenset(each.name for each in fields(Integration))
