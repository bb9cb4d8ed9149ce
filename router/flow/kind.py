"""The kinds of values that a form parameter may have: the format of each, and the allowed values.

`parse` converts the text of a parameter to its value; it raises a ValueError that describes the allowed values.
`schema` describes them in the OpenAPI document. Control characters are not allowed, except in kinds that document it.

https://json-schema.org/draft/2020-12
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import urlsplit
from xml.parsers import expat

from router.language.tag import canonical_tag
from router.match import MOST, try_expression
from router.sid import is_sid
from router.url import is_http_url

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SHOWN: Final = 60  # the maximum length of an invalid value in its error

_TWIML_MOST: Final = 64 * 1024  # bytes: https://www.twilio.com/docs/messaging/twiml


class Kind(Protocol):
    """The format of a value, and the allowed values."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""

    def parse(self, text: str) -> Any:
        """Return the value of `text`, which is never empty; raise a ValueError that describes the allowed values."""


@runtime_checkable
class ListKind(Kind, Protocol):
    """A kind whose value is a list; in a form it is one text, separated by commas."""

    @property
    def expects(self) -> str:
        """What is allowed in that text, for the documentation."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of at most `most` characters; `lines`: it may have several lines."""

    most: int
    lines: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the text as it is."""
        if len(text) > self.most:
            raise ValueError(f"at most {self.most} characters are allowed, not {len(text)}")
        if _CONTROL.search(text.translate({9: " ", 10: " ", 13: " "}) if self.lines else text):
            raise ValueError("control characters are not allowed")
        return text


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """A key, or two keys, comma separated, while one replaces the other; errors do not show them."""

    most: int  # characters of each

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": 2 * self.most + 1}

    def parse(self, text: str) -> str:
        """Return the keys, comma separated, in the order they were given."""
        keys = [key.strip() for key in text.split(",")]
        if len(keys) > 2 or not all(keys) or len({*keys}) < len(keys) or max(map(len, keys)) > self.most:  # noqa: PLR2004 - an old one and a new one
            raise ValueError(f"allowed is a key of at most {self.most} characters, or two, comma separated")
        if _CONTROL.search(text):
            raise ValueError("control characters are not allowed")
        return ",".join(keys)


@dataclass(frozen=True, slots=True)
class Sid:
    """A SID."""

    prefix: str

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "pattern": f"^{self.prefix}[0-9a-fA-F]{{32}}$"}

    def parse(self, text: str) -> str:
        """Return the SID as it is."""
        if not is_sid(text, self.prefix):
            raise ValueError(f"{_quoted(text)} is not {self.prefix} and 32 hexadecimal digits")
        return text


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    values: Sequence[str]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "enum": list(self.values)}

    def parse(self, text: str) -> str:
        """Return the word."""
        if text not in self.values:
            raise ValueError(f"{_quoted(text)} is not one of {', '.join(self.values)}")
        return text


@dataclass(frozen=True, slots=True)
class Words:
    """Some of a few words, separated by commas; the value has each once, in the order of `values`."""

    values: Sequence[str]

    @property
    def expects(self) -> str:
        """What is allowed in that text, for the documentation."""
        return f"some of {_words(self.values)}, separated by commas"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "array", "items": {"type": "string", "enum": list(self.values)}}

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the words, in any letter case, as `values` has them."""
        given = [word.lower() for word in _split(text)]
        for word in given:
            if word not in self.values:
                raise ValueError(f"{_quoted(word)} is not one of {', '.join(self.values)}")
        if not given:
            raise ValueError(f"names none of {', '.join(self.values)}")
        return tuple(word for word in self.values if word in given)


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer from `least` to `most`, inclusive."""

    least: int
    most: int

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def parse(self, text: str) -> int:
        """Return the integer."""
        if not _INTEGER.fullmatch(text) or not self.least <= int(text) <= self.most:
            raise ValueError(f"{_quoted(text)} is not an integer from {self.least} to {self.most}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false, in any letter case: the official libraries use lower case, Twilio's pages not always."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "boolean"}

    def parse(self, text: str) -> bool:
        """Return the truth value."""
        value = {"true": True, "false": False}.get(text.lower())
        if value is None:
            raise ValueError(f"{_quoted(text)} is neither true nor false")
        return value


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL without credentials."""

    most: int = 2048

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "format": "uri", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the URL as it is."""
        if len(text) > self.most:
            raise ValueError(f"at most {self.most} characters are allowed, not {len(text)}")
        if not is_http_url(text) or _CONTROL.search(text):
            raise ValueError("not an absolute http or https URL, as https://example.com/path")
        if "@" in urlsplit(text).netloc:  # credentials would be visible in the flow
            raise ValueError("credentials in the URL are not allowed; the target can check the request's signature")
        return text


@dataclass(frozen=True, slots=True)
class Languages:
    """BCP 47 language tags, separated by commas; https://www.rfc-editor.org/rfc/rfc5646."""

    most: int = 32

    @property
    def expects(self) -> str:
        """What is allowed in that text, for the documentation."""
        return "BCP 47 language tags, separated by commas"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "array", "items": {"type": "string"}}

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the tags in their usual letter case (`pt-BR`, `zh-Hant-TW`), each once."""
        tags = tuple(dict.fromkeys(canonical_tag(tag) for tag in _split(text)))
        if not 0 < len(tags) <= self.most:
            raise ValueError(f"1 to {self.most} language tags are allowed, not {len(tags)}")
        return tags


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on messages, in CEL, which compiles and can be evaluated for samples; it may have several lines."""

    most: int = MOST

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the expression as it is."""
        try_expression(Text(self.most, lines=True).parse(text))
        return text


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object; its text is not changed."""

    most: int  # characters

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the text as it is."""
        Text(self.most, lines=True).parse(text)
        try:
            is_object = isinstance(json.loads(text, parse_constant=_refuse_constant), dict)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}") from None
        if not is_object:
            raise ValueError('is JSON, but not an object, as {"skill": "sales"}')
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


@dataclass(frozen=True, slots=True)
class Twiml:
    """TwiML: an XML document whose root is `<Response>`, without a document type."""

    most: int = _TWIML_MOST

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its values, as JSON shows them."""
        return {"type": "string", "maxLength": self.most}

    def parse(self, text: str) -> str:
        """Return the TwiML as it is."""
        if len(text.encode(errors="replace")) > self.most:
            raise ValueError(f"at most {self.most} bytes are allowed")
        roots: list[str] = []
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = lambda name, _: roots.append(name) if not roots else None
        parser.StartDoctypeDeclHandler = _refuse_doctype
        try:
            parser.Parse(text.encode(), True)
        except (expat.ExpatError, UnicodeEncodeError) as error:
            raise ValueError(f"not well-formed XML: {error}") from None
        if roots != ["Response"]:
            raise ValueError(f"the root is <{roots[0][:_SHOWN]}>, not <Response>")
        return text


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a document type is not allowed")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _words(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
