"""Auto-creation: whether and how Twilio creates a Conversation for each new contact of an address.

https://www.twilio.com/docs/conversations-classic/api/address-configuration-resource
"""

from collections.abc import Mapping
from typing import Any, Final

from router.twilio_api.client import Rest, TwilioError

Values = Mapping[str, str]
"""Fields of `auto_creation` by their names in JSON; null is "", and a boolean `true` or `false`."""

FIELDS: Final = ("enabled", "type", "conversation_service_sid", "studio_flow_sid", "webhook_url")
_NOT_FOUND: Final = 404


class AutoCreation(Rest):
    """The address configurations of an account. Every method raises `TwilioError`."""

    def fetch(self, address: str) -> Values | None:
        """Return the auto-creation of an address; None if the account has no configuration for it."""
        try:
            with self.errors():
                found = self.client.conversations.v1.address_configurations(address).fetch()
                creation: Mapping[str, Any] = found.auto_creation or {}
                return {name: _text(creation.get(name)) for name in FIELDS}
        except TwilioError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def write(self, address: str, type_: str, values: Values) -> None:
        """Change the auto-creation of an address, or create its configuration; `type_` is that of the address."""
        fields: dict[str, Any] = {f"auto_creation_{name}": value for name, value in values.items() if value}
        fields["auto_creation_enabled"] = values["enabled"] == "true"
        if values.get("webhook_url"):
            fields |= {"auto_creation_webhook_method": "POST", "auto_creation_webhook_filters": ["onMessageAdded"]}
        known = self.fetch(address) is not None
        configurations = self.client.conversations.v1.address_configurations
        with self.errors():
            if known:
                configurations(address).update(**fields)
            else:
                configurations.create(type=type_, address=address, **fields)


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
