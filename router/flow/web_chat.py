"""The web chat parameters of a flow: the websites that may embed it, its form, and the kinds of these parameters."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from router.language.tag import canonical_tag

# The maximum number of a form's fields, and length of an answer: 20 answers fit into Twilio's limit of 16 KB.
FIELDS_MOST: Final = 20
ANSWER_MOST: Final = 2000
_OPTIONS_MOST: Final = 100
_TEXT_MOST: Final = 500
_LANGUAGES_MOST: Final = 64
_ORIGINS_MOST: Final = 50
_JSON_MOST: Final = 32 * 1024

FIELD_TYPES: Final = ("text", "email", "tel", "textarea", "select")
_KNOWN: Final = frozenset(("name", "type", "label", "required", "options", "max"))
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
# https://www.rfc-editor.org/rfc/rfc6454#section-6.2, and one wildcard label.
_ORIGIN: Final = re.compile(r"https?://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class WebChat:
    """The settings of a web address. `form` and `greeting` are JSON, "" if not given."""

    allowed_origins: tuple[str, ...] = ()
    require_identity: bool = False
    identity_secret: str = field(default="", repr=False)
    form: str = ""
    greeting: str = ""
    language: str = ""
    state_events: bool = False

    @property
    def fields(self) -> tuple["FormField", ...]:
        """The fields of the form."""
        return tuple(FormField.read(each) for each in json.loads(self.form)) if self.form else ()

    @property
    def greetings(self) -> Mapping[str, str]:
        """The greeting by language."""
        texts: dict[str, str] = json.loads(self.greeting) if self.greeting else {}
        return texts

    def allows(self, origin: str) -> bool:
        """Return whether a page of this origin may embed the chat."""
        return any(_matches(pattern, origin) for pattern in self.allowed_origins)

    def record(self) -> dict[str, Any]:
        """Return the values that are not the default, for the store."""
        return {name: value for name, value in asdict(self).items() if value not in {"", (), False}}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """Read a result of `record`, of this version or of a newer one."""
        known = {name: value for name, value in record.items() if name in cls.__dataclass_fields__}
        if "allowed_origins" in known:
            known["allowed_origins"] = tuple(known["allowed_origins"])
        return cls(**known)


def _matches(pattern: str, origin: str) -> bool:
    scheme, _, host = pattern.partition("://")
    if not host.startswith("*."):
        return pattern == origin
    own_scheme, _, own_host = origin.partition("://")
    label, dot, rest = own_host.partition(".")
    return own_scheme == scheme and bool(label and dot) and rest == host[2:]


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of the form that a visitor fills in before the chat. `label` is by language."""

    name: str
    type: str = "text"
    label: Mapping[str, str] = field(default_factory=dict, hash=False)
    required: bool = False
    options: tuple[str, ...] = ()
    max: int = 200

    @classmethod
    def read(cls, value: object) -> Self:
        """Read a field from JSON; raise a ValueError that describes the problem."""
        if not isinstance(value, dict) or not _NAME.fullmatch(str(value.get("name", ""))):
            raise ValueError("each field is an object with a name of letters, digits and _")
        name = value["name"]
        if unknown := value.keys() - _KNOWN:
            raise ValueError(f"{name}: no such key: {', '.join(sorted(unknown))}")
        kind, required = value.get("type", "text"), value.get("required", False)
        if kind not in FIELD_TYPES:
            raise ValueError(f"{name}: type is one of {', '.join(FIELD_TYPES)}")
        options, most = value.get("options", []), value.get("max", cls.max_of(kind))
        if required is not True and required is not False:
            raise ValueError(f"{name}: required is true or false")
        if type(most) is not int or not 1 <= most <= ANSWER_MOST:
            raise ValueError(f"{name}: max is an integer from 1 to {ANSWER_MOST}")
        if not isinstance(options, list) or len(options) > _OPTIONS_MOST or not all(map(_is_text, options)):
            raise ValueError(f"{name}: options is a list of at most {_OPTIONS_MOST} texts")
        if (kind == "select") != bool(options):
            raise ValueError(f"{name}: a select must have options, and other types must not")
        return cls(name, kind, read_texts(value.get("label", {}), f"{name}: label"), required, tuple(options), most)

    @staticmethod
    def max_of(kind: str) -> int:
        """Return the default length of the longest answer of a type."""
        return ANSWER_MOST if kind == "textarea" else 200

    def resource(self) -> dict[str, Any]:
        """Return it for JSON."""
        own = {"name": self.name, "type": self.type, "label": dict(self.label), "required": self.required}
        return own | {"options": list(self.options), "max": self.max}


def read_texts(value: object, what: str) -> dict[str, str]:
    """Read texts by language from JSON; raise a ValueError that describes the problem."""
    if not isinstance(value, dict) or len(value) > _LANGUAGES_MOST:
        raise ValueError(f"{what} is an object of texts by language, as {{'en': 'Name'}}")
    if not all(_is_text(text) for text in value.values()):
        raise ValueError(f"{what}: each text has 1 to {_TEXT_MOST} characters")
    return {canonical_tag(tag): text for tag, text in value.items()}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MOST


def _read_json(text: str, most: int) -> Any:
    if len(text) > most:
        raise ValueError(f"at most {most} characters are allowed, not {len(text)}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON") from None


def _write_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Origins:
    """Origins of websites, separated by commas."""

    expects: str = f"origins as `https://shop.example` or `https://*.shop.example`, at most {_ORIGINS_MOST}, by commas"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "array", "items": {"type": "string"}}

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the origins in lower case, each once."""
        origins = tuple(dict.fromkeys(part.strip().lower().rstrip("/") for part in text.split(",") if part.strip()))
        if len(origins) > _ORIGINS_MOST:
            raise ValueError(f"at most {_ORIGINS_MOST} origins are allowed, not {len(origins)}")
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:60]!r} is not an origin, as https://shop.example or https://*.shop.example")
        return origins


@dataclass(frozen=True, slots=True)
class FormFields:
    """The fields of a form, as JSON."""

    most: int = _JSON_MOST

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the list as compact JSON, "" for an empty one."""
        value = _read_json(text, self.most)
        if not isinstance(value, list) or len(value) > FIELDS_MOST:
            raise ValueError(f"must be a list of at most {FIELDS_MOST} fields")
        fields = [FormField.read(each) for each in value]
        if len({each.name for each in fields}) < len(fields):
            raise ValueError("two fields have the same name")
        return _write_json([each.resource() for each in fields]) if fields else ""


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts by language, as JSON."""

    most: int = _JSON_MOST

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the object as compact JSON, "" for an empty one."""
        texts = read_texts(_read_json(text, self.most), "it")
        return _write_json(texts) if texts else ""


@dataclass(frozen=True, slots=True)
class Tag:
    """One language."""

    most: int = 64

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the tag in its usual letter case."""
        return canonical_tag(text.strip())
