"""The errors, one class for each that some caller treats differently."""


class RouterError(Exception):
    """An error that is reported in one sentence, without a traceback."""


class SettingsError(RouterError):
    """A setting that is missing or does not parse; the process stops at start with exit status 2."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class InvalidParameter(RouterError):  # noqa: N818 - named for what happened, as in `except InvalidFlow`
    """A parameter of a resource that cannot be saved: its name, and the allowed values."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class InvalidFlow(InvalidParameter):
    """A parameter of a Flex Flow."""


class FlowConflict(InvalidFlow):
    """A Flex Flow that conflicts with another one of the same address."""


class NotAMessage(RouterError):  # noqa: N818
    """A signed request that is not an inbound message; answered 400."""


class StoreUnavailable(RouterError):  # noqa: N818
    """The store did not answer in time, or refused to write; no message may be acknowledged."""


class StoreRefused(StoreUnavailable):
    """The store refused a command (out of memory, read-only, too few replicas)."""


class StoreUnconfirmed(StoreRefused):
    """The store wrote, but fewer replicas than required have confirmed it."""


class Undeliverable(RouterError):  # noqa: N818
    """Raised by a handler: this message can never be delivered, and is not retried."""


class ExpressionError(RouterError):
    """A Match that fails for a message, so that its flow does not take it; the reason contains no text of the message.

    `by_value`: whether it fails because of a value in the message, and not because of wrong types.
    """

    def __init__(self, reason: str, *, by_value: bool = False) -> None:
        super().__init__(reason)
        self.by_value = by_value


def unexpected(error: BaseException) -> str:
    """Describe an error for the log by its type and the lines of code that led to it, as `KeyError at a.py:7, b.py:3`.

    The text of an error of another program may quote a message, so only that of a `RouterError` is added.
    """
    lines, traceback = [], error.__traceback__
    while traceback is not None:
        lines.append(f"{traceback.tb_frame.f_code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    text = f": {error}" if isinstance(error, RouterError) else ""
    return f"{type(error).__name__} at {', '.join(lines[-4:])}{text}"
