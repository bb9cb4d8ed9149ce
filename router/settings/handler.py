"""The handlers in the settings: Python functions that flows may send messages to."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from router.environment import listed
from router.settings.value import AccountSid, Kind, Table

_HANDLER_NAME: Final = r"[a-z0-9_-]+"
_HANDLER_PATH: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"


class HandlerSetting(Table):
    """A Python function that flows may send messages to."""

    path: Annotated[str, Kind("`package.module:function`"), Field(pattern=f"^{_HANDLER_PATH}$")] = Field(
        description="The function"
    )
    accounts: Annotated[tuple[AccountSid, ...], BeforeValidator(listed), Kind("list of AC…")] = Field(
        default=(), description="The accounts whose flows may name it; by default all accounts"
    )


def _handler(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


ECHO: Final = "router.demo:handle"
"""The function of the handler `echo`, which every router has: it sends the customer's text back."""

BUILT_IN: Final = {"echo": HandlerSetting(path=ECHO)}

HandlerName = Annotated[str, Field(pattern=f"^{_HANDLER_NAME}$")]
Handlers = Mapping[HandlerName, Annotated[HandlerSetting, BeforeValidator(_handler)]]
