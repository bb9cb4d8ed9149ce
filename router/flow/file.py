"""Flow files: converts TOML to Flex Flows and back.

A file has one `[[flow]]` table for each flow, with the names of the JSON resource; missing keys have their defaults.
"""

import json
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from router.errors import InvalidFlow, RouterError
from router.flow.flex_flow import FIELDS, FlexFlow, is_given, value_of
from router.flow.resource import from_parameters
from router.printable import to_toml
from router.sid import is_sid

# A flow file needs no chat service; the REST resource requires one, as Twilio's does.
REQUIRED: Final = ("FriendlyName", "ChannelType")

_FIELDS: Final = {each.key: each for each in FIELDS}
_KEYS: Final = {each.wire: each.key for each in FIELDS}
# The parameters that are written for every flow, even if they have their default.
ALWAYS: Final = ("FriendlyName", "ChannelType", "ContactIdentity", "IntegrationType")
_OWN_KEYS: Final = ("sid", "account_sid")
# The tables within a flow's table, each with one of its keys; and the keys whose value may be TOML or JSON.
_TABLES: Final = {"integration": "url", "web_chat": "language"}
_JSON: Final = ("web_chat.form", "web_chat.greeting")


# Replacements for an invalid required value, so that the others can be checked.
_STAND_INS: Final = {"FriendlyName": "-", "ChannelType": "sms"}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a flow file. `entry` counts from 1; it is 0 for the file as a whole."""

    file: str
    entry: int
    field: str
    reason: str
    label: str = ""

    def __str__(self) -> str:
        """Return it in one line, for example `flows.toml, flow 2 'Support', contact_identity: …`."""
        label = f" {self.label!r}" if self.label else ""
        parts = (self.file, f"flow {self.entry}{label}" if self.entry else "", self.field)
        return f"{', '.join(part for part in parts if part)}: {self.reason}"


class InvalidFlowFile(RouterError):  # noqa: N818 - named for what happened
    """A flow file that cannot be applied, with all its errors."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class FileFlow:
    """A flow of a file: its number (from 1), and the keys in the file. Without a `sid` it has a new one."""

    file: str
    entry: int
    flow: FlexFlow
    given: frozenset[str]

    def problem(self, field: str, reason: str) -> Problem:
        """Return an error of this flow."""
        return Problem(self.file, self.entry, field, reason, self.flow.friendly_name)


def load(  # noqa: PLR0913 - pure: time, names and SIDs are keyword arguments
    text: str, *, file: str, account_sid: str, handlers: Collection[str], now: int, new_sid: Callable[[], str]
) -> tuple[FileFlow, ...]:
    """Read the flows of a file, all of them or none.

    Args:
        text: TOML.
        file: its name in errors.
        account_sid: the account of the flows; an entry may repeat it, but not name another.
        handlers: the names that `integration.handler` may have.
        now: Unix seconds, the date of new flows.
        new_sid: returns the SID (FO…) of a new flow.

    Raises:
        InvalidFlowFile: the file has errors.
    """
    try:
        document = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        raise InvalidFlowFile([Problem(file, 0, "", f"not valid TOML: {error}")]) from None
    problems = [Problem(file, 0, key, "no such key; flows are [[flow]] tables") for key in document if key != "flow"]
    tables = document.get("flow", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidFlowFile([*problems, Problem(file, 0, "flow", "not an array of tables; write [[flow]]")])
    loaded = []
    for entry, table in enumerate(tables, 1):
        label = table.get("friendly_name", "")
        flat, wrong = _flat(table)
        wrong += _wrong_sids(flat, account_sid)
        flow, invalid = _flow(flat, account_sid=account_sid, handlers=handlers, now=now, new_sid=new_sid)
        # A required value may be missing because its key is misspelt: then only the wrong key is reported.
        wrong += [(key, reason) for key, reason in invalid if key in flat or not wrong]
        if flow and not wrong:
            wrong = _unused(flow, flat)
            loaded.append(FileFlow(file, entry, flow, frozenset(flat)))
        problems += [
            Problem(file, entry, field, reason, label if isinstance(label, str) else "") for field, reason in wrong
        ]
    problems += _given_twice(loaded)
    if problems:
        raise InvalidFlowFile(sorted(problems, key=lambda problem: problem.entry))
    return tuple(loaded)


def _flow(
    flat: Mapping[str, str], *, account_sid: str, handlers: Collection[str], now: int, new_sid: Callable[[], str]
) -> tuple[FlexFlow | None, list[tuple[str, str]]]:
    """Create a flow from an entry's keys; an invalid value is recorded, and the others are checked without it."""
    params = {_FIELDS[key].wire: text for key, text in flat.items() if key in _FIELDS}
    sid, wrong = flat.get("sid") or new_sid(), dict[str, str]()
    if flat.get("enabled") == "false" or flat.get("paused") == "true":
        # A disabled or paused flow sends nothing, so its handler need not be in the settings any more.
        handlers = {*handlers, flat.get("integration.handler", "")}
    while True:
        try:
            flow = from_parameters(
                params,
                account_sid=account_sid,
                current=None,
                handlers=handlers,
                now=now,
                sid=sid,
                required=REQUIRED,
            )
        except InvalidFlow as error:
            wrong.setdefault(_KEYS[error.parameter], error.reason)
            if error.parameter in _STAND_INS and params.get(error.parameter) != _STAND_INS[error.parameter]:
                params[error.parameter] = _STAND_INS[error.parameter]
            elif params.pop(error.parameter, None) is None:
                return None, list(wrong.items())  # a required value is missing: no further checks are possible
        else:
            return flow, list(wrong.items())


def _flat(table: Mapping[str, Any]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the keys of an entry, dotted, with values as in a form, and the errors."""
    flat: dict[str, str] = {}
    wrong = []
    given = {key: value for key, value in table.items() if key not in _TABLES}
    for name, example in _TABLES.items():
        nested = table.get(name, {})
        if isinstance(nested, dict):
            given |= {f"{name}.{key}": value for key, value in nested.items()}
        else:
            wrong.append((name, f"not a table; write {name}.{example} = …"))
    known = (*_OWN_KEYS, *_FIELDS)
    for key, value in given.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            wrong.append((key, f"no such key{f'; did you mean {near[0]}?' if near else ''}"))
            continue
        try:
            flat[key] = json.dumps(value) if key in _JSON and isinstance(value, list | dict) else _written(value)
        except ValueError as error:
            wrong.append((key, str(error)))
    return flat, wrong


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, list) and all(isinstance(part, str) and "," not in part for part in value):
        return ",".join(value)
    raise ValueError(f"must be a text, an integer, true or false, or a list of texts, not {value!r}")


def _wrong_sids(flat: Mapping[str, str], account_sid: str) -> list[tuple[str, str]]:
    wrong = []
    if "sid" in flat and not is_sid(flat["sid"], "FO"):
        wrong.append(("sid", f"{flat['sid']!r} is not FO and 32 hexadecimal digits"))
    if flat.get("account_sid", account_sid) != account_sid:
        wrong.append(("account_sid", f"{flat['account_sid']!r} is not the account that the file is read for"))
    return wrong


def _unused(flow: FlexFlow, flat: Mapping[str, str]) -> list[tuple[str, str]]:
    """Find keys that the integration's type does not use: in a flow file they are an error."""
    kind = flow.integration.type
    unused = []
    for each in FIELDS:
        if each.key in flat and each.channels and flow.channel_type not in each.channels:
            unused.append((each.key, f"is not used when channel_type is {flow.channel_type}"))
        elif each.key in flat and not each.used_by(kind, flow.channel_type):
            unused.append((each.key, f"is not used when integration_type is {kind}"))
    return unused


def _given_twice(loaded: Sequence[FileFlow]) -> list[Problem]:
    problems = []
    sids: dict[str, int] = {}
    for each in loaded:
        before = sids.setdefault(each.flow.sid, each.entry)
        if before != each.entry:
            problems.append(each.problem("sid", f"is also that of flow {before}"))
    owners: dict[tuple[str, str], FileFlow] = {}
    for each in (each for each in loaded if each.flow.enabled and each.flow.is_default):
        owner = owners.setdefault(address_of(each.flow), each)
        if owner is not each:
            problems.append(each.problem("contact_identity", taken_by(each.flow, f"flow {owner.entry}")))
    return problems


def address_of(flow: FlexFlow) -> tuple[str, str]:
    """Return channel and identity: at most one enabled flow of an address has neither language nor match."""
    return flow.channel_type, flow.contact_identity


def taken_by(flow: FlexFlow, owner: str) -> str:
    """Return the error message that another flow has the address."""
    return (
        f"{flow.contact_identity} already has an enabled {flow.channel_type} flow without language and match: {owner}. "
        "Disable one of them, or give it a language or a match"
    )


def export(flows: Iterable[FlexFlow], *, secrets: bool = False) -> str:
    """Return flows as TOML, from which `load` reads the same flows.

    Dates are left out, and also signing keys, unless `secrets` is set: if a file without a key is applied, the flow
    keeps its key.
    """
    return "\n".join(_table(flow, secrets=secrets) for flow in flows)


def _table(flow: FlexFlow, *, secrets: bool) -> str:
    lines = ["[[flow]]", f"sid = {_toml(flow.sid)}"]
    for each in FIELDS:
        shown = each.wire in ALWAYS or is_given(flow, each)
        if shown and (secrets or not each.write_only):
            lines.append(f"{each.key} = {_toml(value_of(flow, each.attribute))}")
    return "\n".join(lines) + "\n"


def _toml(value: str | int | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return to_toml(value)
