"""Web addresses: the flow and the languages of each."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from router.flow.flex_flow import FlexFlow, address_sid, own_address
from router.message.channel import WEB
from router.settings import Settings
from router.sid import is_sid
from router.store import Store

# The maximum number of addresses whose account is cached.
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A web address of a visitor.

    `flow` is the flow whose SID the visitor's page uses; if it is `pinned`, as on its test page, it gets all messages.
    `languages` are those of the enabled flows that share the address.
    """

    flow: FlexFlow
    languages: tuple[str, ...]
    pinned: bool = False

    @property
    def sid(self) -> str:
        """The address's SID."""
        return address_sid(self.flow)

    @property
    def to(self) -> str:
        """The address that messages are sent to."""
        shared = self.flow.contact_identity.startswith(f"{WEB}:")
        return self.flow.contact_identity if shared else own_address(self.flow.sid)

    def resource(self) -> dict[str, Any]:
        """Return the address as JSON for a visitor's browser."""
        chat = self.flow.web_chat
        return {
            "address": self.sid,
            "account_sid": self.flow.account_sid,
            "friendly_name": self.flow.friendly_name,
            "language": chat.language or None,
            "languages": list(self.languages),
            "form": [each.resource() for each in chat.fields],
            "greeting": dict(chat.greetings),
            "require_identity": chat.require_identity,
        }


class Addresses:
    """Finds web addresses. A SID does not say which account it belongs to, so all accounts are tried."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._flows = store.routing
        self._accounts: OrderedDict[str, str] = OrderedDict()

    def find(self, sid: str) -> WebAddress | None:
        """Return the enabled address of a SID (IG…, or FO… of the same digits); None if there is no such address."""
        if not is_sid(sid, "IG", "FO"):
            return None
        flow_sid = f"FO{sid[2:]}"
        known = self._accounts.get(flow_sid)
        for account_sid in [known] if known else [each.sid for each in self._settings.accounts]:
            address = self._address(self._flows.get(account_sid, flow_sid))
            if address is not None:
                self._remember(flow_sid, account_sid)
                return address
        self._accounts.pop(flow_sid, None)
        return None

    def test_page(self, account_sid: str, flow_sid: str) -> WebAddress | None:
        """Return the address of a flow's test page: that flow, whatever its conditions; None if the page is closed."""
        if self._settings.account(account_sid) is None or not is_sid(flow_sid, "FO"):
            return None
        flow = self._flows.get(account_sid, flow_sid)
        return self._address(flow, pinned=True) if flow and flow.test_page else None

    def _address(self, flow: FlexFlow | None, *, pinned: bool = False) -> WebAddress | None:
        if flow is None or flow.channel_type != WEB or not flow.enabled:
            return None
        if pinned:
            return WebAddress(flow, flow.language, pinned=True)
        (entry,) = self._flows.entries(flow.account_sid, (flow.contact_identity,))
        taking = [each for each in entry.flows if each.enabled and each.channel_type == WEB]
        return WebAddress(flow, tuple(dict.fromkeys(tag for each in taking for tag in each.language)))

    def _remember(self, flow_sid: str, account_sid: str) -> None:
        self._accounts[flow_sid] = account_sid
        self._accounts.move_to_end(flow_sid)
        if len(self._accounts) > _REMEMBERED:
            self._accounts.popitem(last=False)
