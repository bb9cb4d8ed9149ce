"""The schemas of the OpenAPI document: the requests and answers of the REST resources.

The parameters of a Flex Flow are defined only in `router.flow.parameter.FIELDS`: its form, its JSON and the flow's part
of an address configuration are derived from there.
"""

from collections.abc import Mapping
from typing import Final

from router.flow.address_configuration import CREATION, EVENTS, METHOD, NAMES, TYPE
from router.flow.integration_type import INTEGRATION_TYPES
from router.flow.kind import Choice
from router.flow.parameter import FIELDS, RESPONSES, Field
from router.queries.contact_change import ADDRESS, CLOSED
from router.queries.control import DONE_AS
from router.queries.delivery_filter import STATES
from router.web.openapi.kind import (
    COUNT,
    DATE,
    FLAG,
    TEXT,
    TEXT_OR_NULL,
    TEXTS,
    URL,
    Schema,
    exactly,
    one_of,
    or_null,
    page,
    sid,
    taken,
)


def _described(schema: Schema, each: Field) -> Schema:
    text = each.help + (f" ({', '.join(f'`{name}`' for name in each.types)})" if each.types else "")
    allowed = schema.get("description")
    default: Schema = {"default": each.default} if each.default not in ("", ()) else {}
    return schema | {"description": f"{text}: {allowed}" if allowed else text} | default


def _flow_form(*, new: bool) -> Schema:
    properties = {each.wire: _described(taken(each.kind), each) for each in FIELDS}
    required = [each.wire for each in FIELDS if each.required and new]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _flow(**more: Schema) -> Schema:
    own: dict[str, Schema] = {"sid": sid("FO"), "account_sid": sid("AC")}
    nested: dict[str, dict[str, Schema]] = {"integration": {}, "web_chat": {}}
    for each in FIELDS:
        place, _, name = each.attribute.rpartition(".")
        schema = _described(each.kind.schema, each)
        if each.key == "integration_type":
            own[each.key] = schema
        elif place:
            nested[place] |= {} if each.write_only else {name: schema}
        else:  # an empty text is null
            own[name] = or_null(schema) if each.default == "" and not isinstance(each.kind, Choice) else schema
    what = {"integration": "The properties of its type", "web_chat": "Only on `web`"}
    parts = {
        place: exactly(fields, optional=tuple(fields), description=what[place]) for place, fields in nested.items()
    }
    return exactly(
        own | parts | {"date_created": DATE, "date_updated": DATE, "url": URL} | more,
        optional=("web_chat", *(each.key for each in FIELDS if each.channels)),
    )


_FIELDS: Final = {each.wire: each for each in FIELDS}


def _address_form(*, new: bool) -> Schema:
    shared = {name: taken(_FIELDS[wire].kind) for name, wire in NAMES.items() if new or name != "Address"}
    creation = {
        "AutoCreation.Type": taken(CREATION),
        "AutoCreation.WebhookMethod": taken(METHOD),
        "AutoCreation.WebhookFilters": {"type": "array", "items": taken(EVENTS)},
    }
    if not new:
        return {"type": "object", "properties": shared | creation}
    country = {"AddressCountry": TEXT | {"pattern": "^[A-Za-z]{2}$"}}
    properties = {"Type": taken(TYPE)} | shared | creation | country
    return {"type": "object", "properties": properties, "required": ["Type", "Address"]}


def _address() -> Schema:
    of = {name: _FIELDS[wire].kind.schema for name, wire in NAMES.items()}
    creation = {
        "enabled": FLAG,
        "type": CREATION.schema,
        "conversation_service_sid": or_null(of["AutoCreation.ConversationServiceSid"]),
        "webhook_url": of["AutoCreation.WebhookUrl"],
        "webhook_method": one_of(value.upper() for value in METHOD.values),
        "webhook_filters": {"type": "array", "items": EVENTS.schema},
        "studio_flow_sid": of["AutoCreation.StudioFlowSid"],
        "studio_retry_count": of["AutoCreation.StudioRetryCount"],
    }
    return exactly(
        {
            "sid": sid("IG"),
            "account_sid": sid("AC"),
            "type": TYPE.schema,
            "address": TEXT,
            "friendly_name": TEXT_OR_NULL,
            "address_country": TEXT_OR_NULL,
            "auto_creation": exactly(creation, optional=tuple(list(creation)[3:])),
            "date_created": DATE,
            "date_updated": DATE,
            "url": URL,
        }
    )


_PAST: Final[Schema] = {"description": "Null if it had no value; of a secret only that it changed"}
_CHANGE: Final = exactly(
    {
        "id": TEXT,
        "account_sid": sid("AC"),
        "flex_flow_sid": sid("FO"),
        "action": one_of(("created", "updated", "deleted")),
        "by": TEXT | {"description": "An account's or API key's SID, or a command"},
        "date_created": DATE,
        "changes": {"type": "object", "additionalProperties": exactly({"before": {}, "after": {}}) | _PAST},
    }
)
_ATTEMPT: Final = exactly(
    {
        "attempt": or_null(COUNT),
        "outcome": TEXT_OR_NULL | {"description": "`delivered`, or how it failed"},
        "status": or_null(COUNT) | {"description": "The HTTP status of the target's answer"},
        "seconds": {"type": ["number", "null"]},
        "reason": TEXT_OR_NULL,
    }
)
_ACTION: Final = exactly(
    {
        "action": one_of((*DONE_AS.values(), "replayed")),
        "by": TEXT | {"description": "The user name of a REST request, a command, or the console's role"},
        "date_created": DATE,
    }
)
_DELIVERY: Final = exactly(
    {
        "sid": sid("SM|MM|IM"),
        "account_sid": sid("AC"),
        "status": one_of(STATES),
        "held": FLAG | {"description": "Whether it is queued, and not sent until it is released"},
        "from": TEXT_OR_NULL,
        "to": TEXT_OR_NULL,
        "channel": TEXT_OR_NULL,
        "body": TEXT_OR_NULL,
        "num_media": or_null(COUNT),
        "flex_flow_sid": or_null(sid("FO")),
        "language": TEXT_OR_NULL,
        "route": TEXTS,
        "attempts": COUNT,
        "replays": COUNT,
        "duplicates": COUNT,
        "recovered": FLAG,
        "in_doubt": FLAG,
        "error": TEXT_OR_NULL,
        "history": {"type": "array", "items": _ATTEMPT},
        "actions": {"type": "array", "items": _ACTION, "description": "The newest actions of operators"},
        "answer": TEXT_OR_NULL,
        "late_answer": TEXT_OR_NULL | {"description": "What was done with an answer that was too late for the webhook"},
        "target_said": or_null(exactly({"type": TEXT, "text": TEXT}))
        | {
            "description": "The last answer that was an error: its Content-Type and first 500 "
            "characters, or `traceback` and the last frames of a handler's exception"
        },
        "answered_by": TEXT_OR_NULL,
        "date_created": DATE,
        "url": URL,
        "waiting_for": TEXTS | {"description": "Why it is not sent yet; only if it is fetched by its SID"},
    },
    optional=("waiting_for",),
    description="The values of the message are null when its body has expired",
)
_DELIVERY_FORM: Final[Schema] = {
    "type": "object",
    "description": "Either Status or Held",
    "properties": {
        "Status": one_of(("queued", "sending", "canceled", "cancelled"))
        | {
            "description": "`queued` sends a finished message again; the customer is not answered. `sending` sends one "
            "that waits for a retry now. `canceled` gives up a waiting one: it becomes undelivered"
        },
        "Held": FLAG
        | {
            "description": "`true` keeps a queued message from being sent; its conversation goes on without it. "
            "`false` puts it at the end of its conversation"
        },
        "Route": one_of(("original", "current")) | {"default": "original", "description": "With Status=queued"},
    },
}
_ROUTE: Final = exactly(
    {
        "account_sid": sid("AC"),
        "channel": TEXT,
        "contact_identity": TEXT,
        "flex_flow_sid": or_null(sid("FO")),
        "friendly_name": TEXT_OR_NULL,
        "integration_type": or_null(one_of(INTEGRATION_TYPES)),
        "response": or_null(one_of(RESPONSES)),
        "paused": or_null(FLAG),
        "language": TEXT_OR_NULL,
        "kept": FLAG | {"description": "Whether it goes there because its conversation is assigned to the flow"},
        "reason": TEXT_OR_NULL,
        "steps": TEXTS,
    }
)
_ROUTE_FORM: Final[Schema] = {
    "type": "object",
    "description": "The parameters of an inbound message, as Twilio's webhook has them",
    "properties": dict.fromkeys(("From", "To", "Body", "MessagingServiceSid"), TEXT)
    | {"lang": TEXT | {"description": "The language in the webhook's URL: `/webhooks/sms?lang=es`"}},
    "required": ["From", "To"],
    "additionalProperties": TEXT,
}
_TAG: Final[Schema] = {"description": "A BCP 47 language tag; empty removes it"}
_CONVERSATION: Final = exactly(
    {
        "address": TEXT | {"description": "The address of yours that the contact wrote to"},
        "flex_flow_sid": sid("FO"),
        "language": TEXT_OR_NULL,
        "confident": FLAG | {"description": "Whether only an explicit message moves the conversation"},
        "status": one_of(("active", "inactive")) | {"description": "Whether the next message goes to this flow"},
        "date_updated": DATE,
    }
)
_CONTACT: Final = exactly(
    {
        "account_sid": sid("AC"),
        "identity": TEXT | {"description": "The address that the contact was first seen with"},
        "aliases": TEXTS | {"description": "Other addresses of the same person"},
        "language": TEXT_OR_NULL | {"description": "The language that you set"},
        "preference": TEXT_OR_NULL | {"description": "The language that the contact chose"},
        "learned": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
            "description": "The share of each language in the contact's texts so far",
        },
        "conversations": {"type": "array", "items": _CONVERSATION},
        "url": URL,
    }
)
_CONTACT_FORM: Final[Schema] = {
    "type": "object",
    "properties": {
        "Language": TEXT | _TAG,
        "Preference": TEXT | _TAG,
        "Alias": TEXT | {"description": "Addresses of the same person, separated by commas"},
        "Address": ADDRESS.schema | {"description": "Your address in the conversation"},
        "FlexFlowSid": sid("FO") | {"description": "The flow that takes the conversation with Address from now on"},
        "Status": CLOSED.schema | {"description": "Ends the conversation with Address, or all of them"},
    },
}
_FINDING: Final = exactly({"value": TEXT, "good": FLAG, "advice": TEXT}, optional=("advice",))
_READINESS: Final = exactly(
    {
        "ready": FLAG,
        "store": {
            "oneOf": [
                {"type": "object", "additionalProperties": _FINDING},
                TEXT | {"description": "Why it does not answer"},
            ]
        },
    }
)
_ERROR: Final = exactly(
    {
        "code": {"type": "integer", "description": "Twilio's error code: https://www.twilio.com/docs/api/errors"},
        "message": TEXT,
        "more_info": URL,
        "status": {"type": "integer", "description": "The HTTP status"},
    }
)


SCHEMAS: Final[Mapping[str, Schema]] = {
    "FlexFlow": _flow(),
    "FlexFlowWritten": _flow(
        warnings=TEXTS
        | {"description": "Why the enabled flows of its address may not work as intended, and what to do"}
    ),
    "FlexFlowCreate": _flow_form(new=True),
    "FlexFlowUpdate": _flow_form(new=False),
    "FlexFlowPage": page("flex_flows", "FlexFlow"),
    "Change": _CHANGE,
    "ChangePage": page("changes", "Change"),
    "AddressConfiguration": _address(),
    "AddressConfigurationCreate": _address_form(new=True),
    "AddressConfigurationUpdate": _address_form(new=False),
    "AddressConfigurationPage": page("address_configurations", "AddressConfiguration"),
    "Delivery": _DELIVERY,
    "DeliveryUpdate": _DELIVERY_FORM,
    "DeliveryPage": page("deliveries", "Delivery"),
    "Route": _ROUTE,
    "RouteCreate": _ROUTE_FORM,
    "Contact": _CONTACT,
    "ContactUpdate": _CONTACT_FORM,
    "Readiness": _READINESS,
    "Error": _ERROR,
}
