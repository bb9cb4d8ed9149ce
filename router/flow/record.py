"""Flex Flows as the store keeps them: JSON without the parameters that have their default value."""

import json
from dataclasses import fields
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from router.flow.flex_flow import FIELDS, FlexFlow, Integration
from router.flow.parameter import default_response, default_retry_policy
from router.flow.web_chat import WebChat


def to_record(flow: FlexFlow) -> str:
    """Return the flow's record: JSON without the parameters that have their default; equal flows have equal records."""
    integration = {
        name: value for name, default in _INTEGRATION if (value := getattr(flow.integration, name)) != default
    }
    if flow.integration.retry_policy == default_retry_policy(flow.integration.type):
        del integration["retry_policy"]
    record = {name: value for name, default in _FLOW if (value := getattr(flow, name)) != default}
    if flow.response == default_response(flow.integration.type):
        del record["response"]
    record["integration"] = integration
    if "web_chat" in record:
        record["web_chat"] = flow.web_chat.record()
    if flow.extra:
        record["extra"] = dict(flow.extra)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def from_record(record: str) -> FlexFlow:
    """Read a record of this version, or of a newer one, whose additional parameters are ignored.

    Flows are read far more often than they change, so the flows that were read last are cached, except very long ones.
    """
    return _read_once(record) if len(record) <= _REMEMBERED else _read(record)


@lru_cache(maxsize=4096)
def _read_once(record: str) -> FlexFlow:
    return _read(record)


def _read(record: str) -> FlexFlow:
    own = json.loads(record)
    integration = own["integration"]
    for name in _LISTS & own.keys():
        own[name] = tuple(own[name])
    for name in _LISTS_OF_INTEGRATION & integration.keys():
        integration[name] = tuple(integration[name])
    own["integration"] = Integration(
        **{name: value for name, value in integration.items() if name in _KNOWN_INTEGRATION}
    )
    if "web_chat" in own:
        own["web_chat"] = WebChat.read(own["web_chat"])
    if "extra" in own:
        own["extra"] = MappingProxyType(own["extra"])
    return FlexFlow(**{name: value for name, value in own.items() if name in _KNOWN})


# Characters of the longest record that is cached: 4,096 such records take 16 MB.
_REMEMBERED: Final = 4096
# JSON has lists where a flow, which has to be hashable, has tuples.
_LISTS: Final = frozenset(each.attribute for each in FIELDS if isinstance(each.default, tuple))
_LISTS_OF_INTEGRATION: Final = frozenset(
    each.removeprefix("integration.") for each in _LISTS if each.startswith("integration.")
)
_FLOW: Final = tuple((each.name, each.default) for each in fields(FlexFlow) if each.name != "extra")
_INTEGRATION: Final = tuple((each.name, each.default) for each in fields(Integration))
_KNOWN: Final = frozenset(each.name for each in fields(FlexFlow))
_KNOWN_INTEGRATION: Final = frozenset(each.name for each in fields(Integration))
