"""The change log: the user, the time, and the changed values of Flex Flows; never a secret.

The scripts that write a flow add the log entry in the same step, so that no change is missing. Other actions in the
console are logged as well: replayed messages, changed contacts, revealed addresses. The log is one stream per account,
trimmed to the newest entries.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.flow.diff import differences
from router.flow.flex_flow import FlexFlow
from router.iso_time import utc
from router.store.client import Client
from router.store.keys import AccountKeys

# Approximate number of changes kept for each account: 4 MB if all of them are new flows. All flows share one list,
# because a separate list would cost 300 bytes for each flow, of the 1 KB that it may take.
KEPT: Final = 10_000
# Entries read in one call, about 200 KB.
_CHUNK: Final = 500
# Characters kept of a text: FallbackTwiml may have 64 KiB.
_TEXT: Final = 200
_CHANGED: Final = "changed"


@dataclass(frozen=True, slots=True)
class FlowChange:
    """One change of one flow.

    Args:
        account_sid: the account of the flow.
        id: the id of the stream entry, for example `1790000000000-0`.
        at: the time, in ms since 1970 by the store's clock.
        by: the user name of a REST request, or the name of a command.
        action: created, updated or deleted; for other actions their name, such as `replayed`.
        flex_flow_sid: the flow; "" for other actions.
        fields: old and new values by the names in flow files; None for no value. A secret has None as its old value,
            and `changed` as its new one.
    """

    account_sid: str
    id: str
    at: int
    by: str
    action: str
    flex_flow_sid: str
    fields: Mapping[str, tuple[Any, Any]]

    def resource(self) -> dict[str, Any]:
        """Return the change as shown in JSON."""
        return {
            "id": self.id,
            "account_sid": self.account_sid,
            "flex_flow_sid": self.flex_flow_sid,
            "action": self.action,
            "by": self.by,
            "date_created": utc(self.at),
            "changes": {name: {"before": was, "after": is_} for name, (was, is_) in self.fields.items()},
        }


def describe(before: FlexFlow | None, after: FlexFlow | None) -> str:
    """Describe a change for the stream; `before` is None for a new flow, `after` is None for a deleted one."""
    action = "updated" if before and after else "created" if after else "deleted"
    fields = {
        each.key: (None, _CHANGED) if each.secret else (_short(each.before), _short(each.after))
        for each in differences(before, after)
    }
    return json.dumps({"action": action, "fields": fields}, ensure_ascii=False, separators=(",", ":"))


def _short(value: Any) -> Any:
    return value[:_TEXT] + "…" if isinstance(value, str) and len(value) > _TEXT else value


class ChangeLog:
    """Reads the change log."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def note(self, account_sid: str, by: str, action: str, **fields: str | int) -> None:
        """Log an action that is not a change of a flow, for example `note(sid, who, "replayed", message=…)`."""
        change = {"action": action, "fields": {name: (None, _short(value)) for name, value in fields.items()}}
        packed = json.dumps(change, ensure_ascii=False, separators=(",", ":"))
        stream = AccountKeys(account_sid).changes
        self._client.call("XADD", stream, "MAXLEN", "~", KEPT, "*", "flow", "", "by", by, "change", packed, writes=True)

    def newest(
        self, account_sid: str, *, flex_flow_sid: str = "", before: str = "", since: int = 0, others: bool = False
    ) -> Iterator[FlowChange]:
        """Walk the changes from the newest to the oldest.

        Args:
            account_sid: the account of the flows.
            flex_flow_sid: only changes of this flow.
            before: return only changes older than the one with this id.
            since: ms since 1970; older changes are left out.
            others: whether actions that are not changes of flows are included.
        """
        stream = AccountKeys(account_sid).changes
        top = f"({before}" if before else "+"
        while entries := self._client.call("XREVRANGE", stream, top, since or "-", "COUNT", _CHUNK):
            for id_, (_, flow, _, by, _, change) in entries:
                if (flow.decode() == flex_flow_sid) if flex_flow_sid else (flow or others):
                    yield _change(account_sid, id_.decode(), flow.decode(), by.decode(), json.loads(change))
            top = f"({entries[-1][0].decode()}"


def _change(account_sid: str, id_: str, flow: str, by: str, change: dict[str, Any]) -> FlowChange:
    fields = {name: (was, is_) for name, (was, is_) in change["fields"].items()}
    return FlowChange(account_sid, id_, int(id_.partition("-")[0]), by, change["action"], flow, fields)
