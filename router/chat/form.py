"""Checks a visitor's pre-chat form against the form fields of the address."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from router.chat.limit import DATA_MOST
from router.flow.web_chat import ANSWER_MOST, FIELDS_MOST, FormField

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
NAME: Final = "friendlyName"


class BadForm(ValueError):  # noqa: N818 - named for what happened
    """An invalid form; the text names the field."""


def answers(fields: Sequence[FormField], given: object) -> dict[str, str]:
    """Return the answers to the form, and the other values that the website gave; raise BadForm."""
    if given is None:
        given = {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadForm("form: must be an object whose values are strings")
    texts: dict[str, str] = {name: value.strip() for name, value in given.items()}
    declared = {each.name: each for each in fields}
    if len(texts) > max(FIELDS_MOST, len(declared)):
        raise BadForm(f"form: at most {FIELDS_MOST} fields are allowed")
    for each in fields:
        _check(each, texts.get(each.name, ""))
    for name, value in texts.items():
        if len(name) > 64 or (name not in declared and len(value) > ANSWER_MOST):  # noqa: PLR2004 - as FormField's name
            raise BadForm(f"{name[:64]}: at most {ANSWER_MOST} characters are allowed")
    if len(json.dumps(texts)) > DATA_MOST:
        raise BadForm(f"form: at most {DATA_MOST} bytes are allowed")
    return {name: value for name, value in texts.items() if value}


def _check(each: FormField, value: str) -> None:
    if not value:
        if each.required:
            raise BadForm(f"{each.name}: is required")
        return
    if len(value) > each.max:
        raise BadForm(f"{each.name}: at most {each.max} characters are allowed, not {len(value)}")
    if each.type == "select" and value not in each.options:
        raise BadForm(f"{each.name}: is not one of the options")
    if each.type == "email" and not _EMAIL.fullmatch(value):
        raise BadForm(f"{each.name}: is not an e-mail address")


def language_of(data: Mapping[str, Any]) -> str:
    """Return the language in pre-engagement data, "" for none."""
    named = data.get("language", "")
    return named if isinstance(named, str) else ""
