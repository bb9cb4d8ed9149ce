"""The OpenAPI 3.1 document of the REST resources, at `/v1/openapi.json`.

The operations are here, and their bodies and answers in `schema`; those of web chat are in `chat`. The parameters of a
flow are derived from router.flow.parameter.

https://spec.openapis.org/oas/v3.1.1.html
"""

from importlib.metadata import version
from typing import Any, Final

from flask import Blueprint, Response, request

from router.flow.address_configuration import TYPE
from router.queries.delivery_filter import STATES
from router.settings import Settings
from router.web.openapi import chat
from router.web.openapi.kind import FLAG, TEXT, Schema, one_of, ref, sid
from router.web.openapi.operation import Operation, paged
from router.web.openapi.schema import SCHEMAS
from router.web.paging import json_response
from router.web.public import public_bases

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
_MEANINGS: Final = {
    200: "Done",
    201: "Created",
    204: "Deleted",
    400: "A parameter is missing or not allowed; the message begins with its name",
    401: "No credentials, or wrong ones",
    403: "A page of another site sent it, or its host is not trusted",
    404: "It does not exist, or belongs to another account",
    409: "It conflicts with another resource, or with an operation in progress",
    410: "Its body has expired",
    413: "The form is too large",
    429: "Too many wrong credentials; Retry-After has the seconds to wait",
    503: "The store does not answer",
}
_GUARDED: Final = (401, 403, 429, 503)  # errors of every resource that requires credentials


_DELIVERY_FILTERS: Final[dict[str, Schema]] = {
    "Status": one_of(STATES),
    "Held": FLAG,
    "From": TEXT,
    "To": TEXT,
    "FlexFlowSid": sid("FO"),
    "DateCreatedAfter": TEXT | {"description": "ISO 8601, inclusive"},
    "DateCreatedBefore": TEXT | {"description": "ISO 8601, exclusive"},
}
# The parameters of paths, by name.
_PLACES: Final[dict[str, Schema]] = {
    "FlexFlowSid": sid("FO"),
    "Address": TEXT | {"description": "`IG…`, or the address itself in any form"},
    "MessageSid": sid("SM|MM|IM"),
    "Identity": TEXT | {"description": "An address of the contact, in any form"},
}
OPERATIONS: Final[dict[str, dict[str, Operation]]] = {
    "/v1/FlexFlows": {
        "get": Operation(
            "listFlexFlows", "List Flex Flows, the newest first", (200, "FlexFlowPage"), (400,),
            query=paged({"FriendlyName": TEXT}),
        ),
        "post": Operation(
            "createFlexFlow", "Create a Flex Flow", (201, "FlexFlowWritten"), (400, 409), form="FlexFlowCreate"
        ),
    },
    "/v1/FlexFlows/{FlexFlowSid}": {
        "get": Operation("fetchFlexFlow", "Fetch a Flex Flow", (200, "FlexFlow"), (404,)),
        "post": Operation(
            "updateFlexFlow", "Change a Flex Flow", (200, "FlexFlowWritten"), (400, 404, 409), form="FlexFlowUpdate"
        ),
        "delete": Operation("deleteFlexFlow", "Delete a Flex Flow", (204, ""), (404,)),
    },
    "/v1/FlexFlows/{FlexFlowSid}/Changes": {
        "get": Operation(
            "listChanges", "List the changes of a Flex Flow, the newest first", (200, "ChangePage"), (400, 404),
            query=paged(),
        ),
    },
    "/v1/Configuration/Addresses": {
        "get": Operation(
            "listAddresses", "List addresses, the newest first", (200, "AddressConfigurationPage"), (400,),
            query=paged({"Type": one_of(TYPE.values)}, most=50),
        ),
        "post": Operation(
            "createAddress", "Configure an address", (201, "AddressConfiguration"), (400, 409),
            form="AddressConfigurationCreate",
        ),
    },
    "/v1/Configuration/Addresses/{Address}": {
        "get": Operation("fetchAddress", "Fetch an address", (200, "AddressConfiguration"), (404,)),
        "post": Operation(
            "updateAddress", "Change an address", (200, "AddressConfiguration"), (400, 404, 409),
            form="AddressConfigurationUpdate",
        ),
        "delete": Operation("deleteAddress", "Delete an address, and its Flex Flow", (204, ""), (404,)),
    },
    "/v1/Deliveries": {
        "get": Operation(
            "listDeliveries", "List messages and their deliveries, the newest first", (200, "DeliveryPage"), (400,),
            query=paged(_DELIVERY_FILTERS),
        ),
    },
    "/v1/Deliveries/{MessageSid}": {
        "get": Operation("fetchDelivery", "Fetch a message and its delivery", (200, "Delivery"), (404,)),
        "post": Operation(
            "updateDelivery", "Replay, hurry, hold, release or cancel a message", (200, "Delivery"),
            (400, 404, 409, 410), form="DeliveryUpdate",
        ),
    },
    "/v1/Routes": {
        "post": Operation(
            "explainRoute", "Explain where a message would go", (200, "Route"), (400,), form="RouteCreate"
        ),
    },
    "/v1/Contacts/{Identity}": {
        "get": Operation("fetchContact", "Fetch a contact", (200, "Contact"), (404,)),
        "post": Operation(
            "updateContact", "Change a contact, move or close its conversations", (200, "Contact"),
            (400, 404, 409), form="ContactUpdate",
        ),
        "delete": Operation(
            "eraseContact", "Erase a contact and its messages' content; 409 while some wait for delivery", (204, ""),
            (404, 409),
        ),
    },
    **chat.OPERATIONS,
    "/v1/openapi.json": {
        "get": Operation("describe", "This document", (200, _JSON), guarded=False),
    },
    "/healthz": {
        "get": Operation("live", "Check that the process is alive", (200, "text/plain"), guarded=False),
    },
    "/readyz": {
        "get": Operation("ready", "Check that messages can be accepted", (200, "Readiness"), (503,), guarded=False),
    },
    "/metrics": {
        "get": Operation("measure", "Metrics for Prometheus", (200, "text/plain"), guarded=False),
    },
}  # fmt: skip


def blueprint(settings: Settings) -> Blueprint:
    """Return the route of the document, which contains no customer data and needs no password."""
    openapi = Blueprint("openapi", __name__)

    @openapi.get("/v1/openapi.json")
    def describe() -> Response:
        return json_response(document(next(iter(public_bases(request.environ, settings)), "/")))

    return openapi


def document(base: str) -> dict[str, Any]:
    """Return the document; `base` is the base URL of the resources: a public base, or `/` for the same server."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Twilio message router",
            "version": version("twilio-message-router"),
            "description": "Flex Flows and addresses as in Twilio's API, and the messages with their deliveries.",
        },
        "servers": [{"url": base}],
        "security": [{"basic": []}],
        "paths": {path: _path(path, methods) for path, methods in OPERATIONS.items()},
        "components": {
            "schemas": dict(SCHEMAS) | dict(chat.SCHEMAS),
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "An account's SID and auth token, or an API key's SID and secret",
                }
            },
        },
    }


def _path(path: str, methods: dict[str, Operation]) -> dict[str, Any]:
    places = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in (chat.PLACES | _PLACES).items()
        if f"{{{name}}}" in path
    ]
    operations = {method: _operation(operation) for method, operation in methods.items()}
    return ({"parameters": places} if places else {}) | operations


def _operation(operation: Operation) -> dict[str, Any]:
    status, answer = operation.answers
    errors = operation.errors
    if operation.guarded:
        errors += (*_GUARDED, *((413,) if operation.form else ()))
    # Readiness is the only resource whose error has the same schema as its success.
    error_schema = answer if not operation.guarded else "Error"
    responses: dict[str, Any] = {str(status): _response(status, answer)}
    responses |= {str(each): _response(each, error_schema) for each in sorted(errors)}
    if operation.guarded:
        responses["default"] = {"description": "Any other error", "content": {_JSON: {"schema": ref("Error")}}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.query:
        described["parameters"] = [
            {"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()
        ]
    if operation.form:
        described["requestBody"] = {"required": True, "content": {_FORM: {"schema": ref(operation.form)}}}
    if not operation.guarded:
        described["security"] = []
    return described


def _response(status: int, answer: str) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _MEANINGS[status]}
    if "/" in answer:
        described["content"] = {answer: {}}
    elif answer:
        described["content"] = {_JSON: {"schema": ref(answer)}}
    return described
