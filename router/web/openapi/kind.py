"""Basic schemas, used by the schemas of the resources: https://json-schema.org/draft/2020-12."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.flow.kind import Kind, ListKind

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
URL: Final[Schema] = {"type": "string", "format": "uri"}
# With seconds, in UTC, in Twilio's format.
DATE: Final[Schema] = {"type": "string", "pattern": "^[0-9-]{10}T[0-9:]{8}Z$", "examples": ["2026-05-31T22:00:00Z"]}


def sid(prefix: str) -> Schema:
    """Return the schema of a SID; `prefix` is one prefix, or several: `SM|MM`."""
    kind = f"({prefix})" if "|" in prefix else prefix
    return {"type": "string", "pattern": f"^{kind}[0-9a-fA-F]{{32}}$"}


def one_of(values: Iterable[str]) -> Schema:
    """Return the schema of an enumeration."""
    return {"type": "string", "enum": list(values)}


def or_null(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    more = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return schema | {"type": [schema["type"], "null"]} | more


def ref(name: str) -> Schema:
    """Return a reference to a schema of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def exactly(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """Return the schema of an object that has these properties and no others."""
    required = [name for name in properties if name not in optional]
    shape = {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}
    return shape | more


def page(key: str, item: str) -> Schema:
    """Return the schema of a page of a list; `key` is the key of its items, `item` the name of their schema."""
    link = or_null(URL)
    meta = exactly(
        {
            "page": COUNT,
            "page_size": COUNT,
            "first_page_url": URL,
            "previous_page_url": link,
            "url": URL,
            "next_page_url": link,
            "key": {"const": key},
        }
    )
    return exactly({"meta": meta, key: {"type": "array", "items": ref(item)}})


def taken(kind: Kind) -> Schema:
    """Return the schema of a value of this kind in a form, in which a list is a string."""
    return TEXT | {"description": kind.expects} if isinstance(kind, ListKind) else kind.schema
