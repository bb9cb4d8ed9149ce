"""The raw request of an inbound message, as it is stored and forwarded.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

import struct
from collections.abc import Sequence
from dataclasses import field
from functools import lru_cache
from typing import Final, Self
from urllib.parse import unquote

from router.message.signature import signed_form
from router.value import value

FORM: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 500

_VERSION: Final = 1
_METHODS: Final = ("POST", "GET")
_CONTENT_TYPES: Final = ("", FORM, f"{FORM}; charset=UTF-8", f"{FORM};charset=UTF-8")  # 0: spelled out
# version, method, content type, then the lengths of: content type, cookie, idempotency token, body
_HEAD: Final = struct.Struct(">BBBHHHI")


@value
class Raw:
    """The unchanged request, which is stored, and forwarded byte for byte.

    `body` is the query string for a GET. `cookie` is Twilio's, one for each pair of addresses. `idempotency_token` is
    the `I-Twilio-Idempotency-Token` header. Missing headers are "". Decoded fields are cached, because they are needed
    to verify the message, to parse it, and to sign it for its target.
    """

    method: str
    content_type: str
    body: bytes = field(repr=False)
    cookie: str = field(default="", repr=False)
    idempotency_token: str = ""
    _fields: Sequence[tuple[str, str]] | None = field(default=None, init=False, repr=False, compare=False)
    _signed: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def is_form(self) -> bool:
        """Whether the request has a form: the query of a GET, or a body of that type."""
        return self.method == "GET" or _is_form(self.content_type)

    def fields(self) -> Sequence[tuple[str, str]]:
        """Decode the form, as `urllib.parse.parse_qsl` does with blank values kept; none if it is not a form.

        Bytes that are not UTF-8 become U+FFFD. Raises ValueError with more than `MAX_FIELDS` fields.
        """
        fields = self._fields
        if fields is None:
            fields = self._decode()
            object.__setattr__(self, "_fields", fields)
        return fields

    def signed_form(self) -> bytes:
        """Return the fields in the form in which Twilio signs those of a POST; raise as `fields` does."""
        signed = self._signed
        if signed is None:
            signed = signed_form(self.fields())
            object.__setattr__(self, "_signed", signed)
        return signed

    def _decode(self) -> list[tuple[str, str]]:
        if not self.is_form or not self.body:
            return []
        if self.body.count(b"&") >= MAX_FIELDS:
            raise ValueError(f"a form of more than {MAX_FIELDS} fields")
        fields = []
        # parse_qsl would be exact, but too slow for the intake path: most fields have nothing to decode.
        for pair in self.body.decode("utf-8", "replace").replace("+", " ").split("&"):
            name, _, text = pair.partition("=")
            if "%" in pair:
                if pair.count("%") == 1 and text.startswith("%2B"):  # the `+` of a number, as in most such fields
                    text = f"+{text[3:]}"
                else:
                    name, text = unquote(name), unquote(text)
            if pair:
                fields.append((name, text))
        return fields

    def pack(self) -> bytes:
        """Pack it for the store. Raises ValueError for a method or a header that cannot be stored."""
        kind = _CONTENT_TYPES.index(self.content_type) if self.content_type in _CONTENT_TYPES else 0
        content_type = b"" if kind else self.content_type.encode()
        cookie, token = self.cookie.encode(), self.idempotency_token.encode()
        try:
            head = _HEAD.pack(
                _VERSION,
                _METHODS.index(self.method),
                kind,
                len(content_type),
                len(cookie),
                len(token),
                len(self.body),
            )
        except struct.error as error:
            raise ValueError(f"a header over 65535 bytes cannot be stored: {error}") from error
        return b"".join((head, content_type, cookie, token, self.body))

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Unpack it. Raises ValueError if it is damaged, or of an unknown version."""
        if len(packed) < _HEAD.size or packed[0] != _VERSION:
            raise ValueError(f"not a stored request of version {_VERSION}: {packed[:8]!r}")
        _, method, kind, *lengths = _HEAD.unpack_from(packed)
        if method >= len(_METHODS) or kind >= len(_CONTENT_TYPES) or len(packed) != _HEAD.size + sum(lengths):
            raise ValueError(f"a damaged stored request: {packed[: _HEAD.size]!r} and {len(packed) - _HEAD.size} bytes")
        parts = []
        start = _HEAD.size
        for length in lengths:
            parts.append(packed[start : start + length])
            start += length
        content_type, cookie, token, body = parts
        return cls(
            method=_METHODS[method],
            content_type=_CONTENT_TYPES[kind] or content_type.decode(),
            body=body,
            cookie=cookie.decode(),
            idempotency_token=token.decode(),
        )


@lru_cache(maxsize=64)
def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == FORM
