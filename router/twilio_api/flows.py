"""Reads the flows and addresses of an account at Twilio, with the official client.

https://www.twilio.com/docs/flex/developer/messaging/flow and
https://www.twilio.com/docs/conversations-classic/api/address-configuration-resource
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from router.twilio_api.client import Rest

# Twilio's maximum page sizes, for the fewest requests.
_FLOWS_PAGE: Final = 1000
_ADDRESSES_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """A record of Twilio: its `sid` (`FO…` or `IG…`), and its values by their names in JSON, unchanged."""

    sid: str
    values: dict[str, Any]


class LiveAccount(Rest):
    """The account at Twilio, or at the server that `ROUTER_TWILIO_API_URL` names.

    Every method is a generator that fetches page after page, and raises `TwilioError` if a page cannot be fetched.
    """

    def flex_flows(self) -> Iterator[LiveRecord]:
        """Yield the FlexFlows."""
        return self._records(self.client.flex_api.v1.flex_flow, _FLOWS_PAGE)

    def addresses(self) -> Iterator[LiveRecord]:
        """Yield the Address Configurations."""
        return self._records(self.client.conversations.v1.address_configurations, _ADDRESSES_PAGE)

    def _records(self, resource: Any, size: int) -> Iterator[LiveRecord]:
        with self.errors():
            page = resource.page(page_size=size)
        while page:
            with self.errors():
                records = [LiveRecord(each.sid, vars(each)) for each in page]
            yield from records
            with self.errors():
                page = page.next_page()
