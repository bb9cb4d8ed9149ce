"""What can go wrong, one class for each thing that some caller treats differently."""


class RouterError(Exception):
    """Something the router says in one sentence, without a traceback."""


class SettingsError(RouterError):
    """A setting that is missing or does not parse; the process stops at start with exit status 2."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class InvalidFlow(RouterError):  # noqa: N818 - named for what it says, as in `except InvalidFlow`
    """A Flex Flow that cannot be saved: which parameter, and what is allowed."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class FlowConflict(InvalidFlow):
    """A Flex Flow that collides with another one on the same address."""


class NotAMessage(RouterError):  # noqa: N818
    """A signed request that is not an inbound message; answered 400."""


class StoreUnavailable(RouterError):  # noqa: N818
    """The store did not answer in time, or refused to write; nothing may be acknowledged."""


class StoreRefused(StoreUnavailable):
    """The store refused a command (out of memory, read-only, a replica short)."""


class StoreUnconfirmed(StoreRefused):
    """The store wrote, but fewer replicas than wanted have confirmed it."""


class Undeliverable(RouterError):  # noqa: N818
    """Raised by a handler: this message can never be delivered; it is not tried again."""


class ExpressionError(RouterError):
    """A Match that has no answer for a message, which it then does not take; the reason holds nothing of the message.

    `by_value`: because of what the message says, and not of the types of things.
    """

    def __init__(self, reason: str, *, by_value: bool = False) -> None:
        super().__init__(reason)
        self.by_value = by_value
