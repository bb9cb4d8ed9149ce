"""`/v1/openapi.json` describes exactly the endpoints and answers of the running service."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import pytest
from jsonschema import Draft202012Validator

from router.app import create_app
from router.web.openapi import OPERATIONS, document
from tests.e2e.service import ACCOUNT, BASE
from tests.e2e.world import Reply, World
from tests.valkey import ValkeyServer
from tests.web import openapi_chat
from tests.web.accounts import CONFIG

IS, FW = "IS" + "1" * 32, "FW" + "1" * 32
FLOWS, ADDRESSES, DELIVERIES = "/v1/FlexFlows", "/v1/Configuration/Addresses", "/v1/Deliveries"
CONTACTS: Final = "/v1/Contacts"
DOCUMENT: Final = document(BASE)
NOBODY: Final = "0" * 32

Case: TypeAlias = Callable[[World], Reply]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router whose store a test may kill."""
    valkey = ValkeyServer()
    world = World(tmp_path_factory.mktemp("world"), valkey, config=CONFIG)
    yield world
    world.close()
    valkey.close()


# -- one way to every documented answer -------------------------------------------------------------------------------


def flow(world: World, **more: str) -> dict[str, str]:
    """Return the form of a flow for an unused address."""
    form = {"FriendlyName": "A", "ChatServiceSid": IS, "ChannelType": "sms", "ContactIdentity": world.address()}
    return form | {"IntegrationType": "studio", "Integration.FlowSid": FW} | more


def created(world: World, **more: str) -> dict[str, Any]:
    """Create a flow."""
    reply = world.rest("POST", FLOWS, flow(world, **more))
    assert reply.status == 201, reply.body
    made: dict[str, Any] = reply.json
    return made


def made(world: World, face: str = FLOWS, **more: str) -> str:
    """Create a flow and return its path as flow or as address."""
    sid = created(world, **more)["sid"]
    return f"{FLOWS}/{sid}" if face == FLOWS else f"{ADDRESSES}/IG{sid[2:]}"


def unrouted(world: World, *, expired: bool = False, flow: bool = False) -> str:
    """Send a message to an address without a flow; return the path of its delivery."""
    ours = world.address()
    sid = world.text(ours).sid
    if expired:
        world.call("HDEL", world.record(sid), "raw")
    if flow:
        created(world, ContactIdentity=ours, Paused="true")
    return f"{DELIVERIES}/{sid}"


def taken_address(world: World) -> Reply:
    """Enable a flow at an address that has an enabled one."""
    ours = created(world)["contact_identity"]
    path = made(world, ADDRESSES, ContactIdentity=ours, Enabled="false")
    return world.rest("POST", path, {"AutoCreation.Enabled": "true"})


def filled(world: World, path: str) -> Reply:
    """Fetch a list with several entries."""
    created(world, **{"Integration.RetryPolicy": "ct", "Language": "es,pt-BR", "ContactIdentity": "*"})
    path_of_one = made(world, ADDRESSES)
    world.rest("POST", path_of_one, {"AutoCreation.Type": "webhook", "AutoCreation.WebhookUrl": "https://a.example"})
    unrouted(world, expired=True)
    unrouted(world)
    return world.rest("GET", f"{path}?PageSize=2")


def changed(world: World, query: str = "") -> Reply:
    """Fetch the changes of a flow that was changed."""
    path = made(world)
    world.rest("POST", path, {"Enabled": "false", "Language": "es"})
    return world.rest("GET", f"{path}/Changes{query}")


def contact(world: World, *, conversation: bool = False) -> Reply:
    """Make a contact with an alias, and return it."""
    path = f"{CONTACTS}/{world.address()}"
    made = world.rest("POST", path, {"Language": "es", "Alias": world.address()})
    if conversation:
        flow = created(world)
        made = world.rest("POST", path, {"Address": flow["contact_identity"], "FlexFlowSid": flow["sid"]})
    assert made.status == 200, made.body
    return world.rest("GET", path)


def waiting_message(world: World) -> Reply:
    """Erase a contact with a waiting message."""
    theirs = world.address()
    world.text(created(world, Paused="true")["contact_identity"], theirs)
    return world.rest("DELETE", f"{CONTACTS}/{theirs}")


QUEUED: Final = {"Status": "queued"}
CASES: Final[dict[tuple[str, int], Case]] = {
    ("listFlexFlows", 200): lambda w: filled(w, FLOWS),
    ("listFlexFlows", 400): lambda w: w.rest("GET", f"{FLOWS}?PageSize=0"),
    ("createFlexFlow", 201): lambda w: w.rest("POST", FLOWS, flow(w, Language="es", Priority="3")),
    ("createFlexFlow", 400): lambda w: w.rest("POST", FLOWS, {}),
    ("createFlexFlow", 409): lambda w: w.rest("POST", FLOWS, flow(w, ContactIdentity=created(w)["contact_identity"])),
    ("fetchFlexFlow", 200): lambda w: w.rest("GET", made(w)),
    ("fetchFlexFlow", 404): lambda w: w.rest("GET", f"{FLOWS}/FO{NOBODY}"),
    ("updateFlexFlow", 200): lambda w: w.rest("POST", made(w), {"Paused": "true", "FriendlyName": "B"}),
    ("updateFlexFlow", 400): lambda w: w.rest("POST", made(w), {"Paused": "maybe"}),
    ("updateFlexFlow", 404): lambda w: w.rest("POST", f"{FLOWS}/FO{NOBODY}", {}),
    ("updateFlexFlow", 409): lambda w: w.rest("POST", made(w), {"ContactIdentity": created(w)["contact_identity"]}),
    ("deleteFlexFlow", 204): lambda w: w.rest("DELETE", made(w)),
    ("deleteFlexFlow", 404): lambda w: w.rest("DELETE", f"{FLOWS}/FO{NOBODY}"),
    ("listChanges", 200): changed,
    ("listChanges", 400): lambda w: changed(w, "?PageToken=forged"),
    ("listChanges", 404): lambda w: w.rest("GET", f"{FLOWS}/FO{NOBODY}/Changes"),
    ("listAddresses", 200): lambda w: filled(w, ADDRESSES),
    ("listAddresses", 400): lambda w: w.rest("GET", f"{ADDRESSES}?Type=pigeon"),
    ("createAddress", 201): lambda w: w.rest(
        "POST", ADDRESSES, {"Type": "sms", "Address": w.address(), "AddressCountry": "US"}
    ),
    ("createAddress", 400): lambda w: w.rest("POST", ADDRESSES, {"Type": "sms"}),
    ("createAddress", 409): lambda w: w.rest(
        "POST", ADDRESSES, {"Type": "sms", "Address": created(w)["contact_identity"]}
    ),
    ("fetchAddress", 200): lambda w: w.rest("GET", made(w, ADDRESSES)),
    ("fetchAddress", 404): lambda w: w.rest("GET", f"{ADDRESSES}/{w.address()}"),
    ("updateAddress", 200): lambda w: w.rest(
        "POST",
        made(w, ADDRESSES),
        {
            "AutoCreation.Type": "webhook",
            "AutoCreation.WebhookUrl": "https://a.example/x",
            "AutoCreation.WebhookMethod": "get",
            "AutoCreation.WebhookFilters": "onMessageAdded",
        },
    ),
    ("updateAddress", 400): lambda w: w.rest("POST", made(w, ADDRESSES), {"AutoCreation.Type": "pigeon"}),
    ("updateAddress", 404): lambda w: w.rest("POST", f"{ADDRESSES}/IG{NOBODY}", {}),
    ("updateAddress", 409): taken_address,
    ("deleteAddress", 204): lambda w: w.rest("DELETE", made(w, ADDRESSES)),
    ("deleteAddress", 404): lambda w: w.rest("DELETE", f"{ADDRESSES}/IG{NOBODY}"),
    ("listDeliveries", 200): lambda w: filled(w, DELIVERIES),
    ("listDeliveries", 400): lambda w: w.rest("GET", f"{DELIVERIES}?Status=lost"),
    ("fetchDelivery", 200): lambda w: w.rest("GET", unrouted(w)),
    ("fetchDelivery", 404): lambda w: w.rest("GET", f"{DELIVERIES}/SM{NOBODY}"),
    ("updateDelivery", 200): lambda w: w.rest("POST", unrouted(w, flow=True), QUEUED | {"Route": "current"}),
    ("updateDelivery", 400): lambda w: w.rest("POST", unrouted(w), {"Status": "delivered"}),
    ("updateDelivery", 404): lambda w: w.rest("POST", f"{DELIVERIES}/SM{NOBODY}", QUEUED),
    ("updateDelivery", 409): lambda w: w.rest("POST", unrouted(w), QUEUED),
    ("updateDelivery", 410): lambda w: w.rest("POST", unrouted(w, expired=True), QUEUED),
    ("explainRoute", 200): lambda w: w.rest(
        "POST", "/v1/Routes", {"From": "+15550001111", "To": created(w)["contact_identity"], "Body": "Hola"}
    ),
    ("explainRoute", 400): lambda w: w.rest("POST", "/v1/Routes", {}),
    ("fetchContact", 200): lambda w: contact(w, conversation=True),
    ("fetchContact", 404): lambda w: w.rest("GET", f"{CONTACTS}/{w.address()}"),
    ("updateContact", 200): lambda w: w.rest(
        "POST", f"{CONTACTS}/{w.address()}", {"Language": "es", "Preference": "pt-BR", "Alias": w.address()}
    ),
    ("updateContact", 400): lambda w: w.rest("POST", f"{CONTACTS}/{w.address()}", {"Language": "xx-??"}),
    ("updateContact", 404): lambda w: w.rest("POST", f"{CONTACTS}/{w.address()}", {"Status": "closed"}),
    ("updateContact", 409): lambda w: w.rest(
        "POST", f"{CONTACTS}/{w.address()}", {"Alias": contact(w).json["aliases"][0]}
    ),
    ("eraseContact", 204): lambda w: w.rest("DELETE", f"{CONTACTS}/{contact(w).json['identity']}"),
    ("eraseContact", 404): lambda w: w.rest("DELETE", f"{CONTACTS}/{w.address()}"),
    ("eraseContact", 409): waiting_message,
    **openapi_chat.CASES,
    ("describe", 200): lambda w: w.send("GET", "/v1/openapi.json", b"", {}),
    ("live", 200): lambda w: w.send("GET", "/healthz", b"", {}),
    ("ready", 200): lambda w: w.send("GET", "/readyz", b"", {}),
    ("measure", 200): lambda w: w.send("GET", "/metrics", b"", {}),
}
# Answers that all resources with credentials share, and readiness without a store; tests below cover them.
SHARED: Final = {"401", "403", "413", "429", "503", "default"}


def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return the document's operations by name: method, path and description."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


GUARDED: Final = {name: each for name, each in operations().items() if "security" not in each[2]}


def check(name: str, reply: Reply) -> None:
    """Check an answer against its description in the document."""
    described = operations()[name][2]["responses"][str(reply.status)]
    if "content" not in described:
        assert reply.body == b""
        return
    ((media, content),) = described["content"].items()
    assert reply.headers["Content-Type"].partition(";")[0] == media
    if content:
        validator({"$ref": content["schema"]["$ref"]}).validate(reply.json)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Make a validator of a schema that may refer to the document's other schemas."""
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def asked(world: World, name: str, **more: str) -> Reply:
    """Send a minimal request of an operation, with a form if it takes one."""
    method, path, _ = operations()[name]
    nobodys = {"FlexFlowSid": f"FO{NOBODY}", "MessageSid": f"SM{NOBODY}", "Address": f"IG{NOBODY}", "Identity": "+1555"}
    nobodys |= {"ConversationSid": f"CH{NOBODY}", "ParticipantSid": f"MB{NOBODY}", "WebhookSid": f"WH{NOBODY}"}
    nobodys["ChatServiceSid"] = IS
    form = {"Language": "es"} if name == "updateContact" else sendable(world)
    return world.rest(method, path.format(**nobodys), form if method == "POST" else None, **more)


def sendable(world: World) -> dict[str, str]:
    """Return a form with what every resource requires; each ignores what it does not know."""
    chat = {"AddressSid": f"IG{NOBODY}", "FlexFlowSid": f"FO{NOBODY}", "Identity": "ada"}
    chat |= {"CustomerFriendlyName": "Ada", "ChatFriendlyName": "Chat"}
    sms = {"Type": "sms", "Address": world.address(), "From": "+15551", "To": "+15552"}
    return flow(world) | QUEUED | sms | chat


# -- what the document promises ---------------------------------------------------------------------------------------


def test_the_document_is_valid_openapi() -> None:
    """The document is OpenAPI 3.1 with valid schemas, unique names, and each path's own parameters."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert len(operations()) == sum(len(methods) for methods in OPERATIONS.values())
    for path, item in DOCUMENT["paths"].items():
        assert [each["name"] for each in item.get("parameters", ())] == [
            part.strip("{}") for part in path.split("/") if part.startswith("{")
        ]


def test_the_document_is_public_and_names_the_base(world: World) -> None:
    """The document is served without credentials, with the public base as its server."""
    reply = world.send("GET", "/v1/openapi.json", b"", {})
    assert reply.json == DOCUMENT
    assert reply.json["servers"] == [{"url": BASE}]


def test_every_resource_is_described(world: World) -> None:
    """The document describes exactly the paths and methods that the service has."""
    app = create_app({"ROUTER_REDIS_URL": world.valkey.url, "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "1"})
    app.extensions["router"].store.close()
    health = {"/healthz", "/readyz", "/metrics"}
    served = {
        (method, "/".join("{}" if part.startswith("<") else part for part in rule.rule.split("/")))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/v1/", "/v2/")) or rule.rule in health
    }
    described = {
        (method, "/".join("{}" if part.startswith("{") else part for part in path.split("/")))
        for method, path, _ in operations().values()
    }
    assert described == served


def test_every_documented_answer_has_a_case() -> None:
    """CASES has a request for each documented status of each operation."""
    documented = {
        (name, int(status))
        for name, (_, _, operation) in operations().items()
        for status in operation["responses"]
        if status not in SHARED
    }
    assert documented == set(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_an_answer_is_as_documented(world: World, case: tuple[str, int]) -> None:
    """Each documented status occurs, and its body matches the documented schema."""
    name, status = case
    reply = CASES[case](world)
    assert reply.status == status, reply.body
    check(name, reply)


@pytest.mark.parametrize("name", GUARDED)
def test_without_credentials_each_operation_is_401_as_documented(world: World, name: str) -> None:
    """Without credentials each guarded operation is 401, as documented."""
    method, path, _ = GUARDED[name]
    reply = world.send(method, path.replace("{", "").replace("}", ""), b"", {})
    assert reply.status == 401
    check(name, reply)


@pytest.mark.parametrize("name", [name for name, each in GUARDED.items() if each[0] != "GET"])
def test_another_sites_page_is_refused_as_documented(world: World, name: str) -> None:
    """A change that another site's page sends is 403, as documented."""
    method, path, _ = GUARDED[name]
    reply = world.send(method, path.replace("{", "").replace("}", ""), b"", {"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 403
    check(name, reply)


@pytest.mark.parametrize("name", [name for name, each in GUARDED.items() if "requestBody" in each[2]])
def test_a_form_that_is_too_large_is_refused_as_documented(world: World, name: str) -> None:
    """A form of more than 512 KiB is 413, as documented."""
    _, path, _ = GUARDED[name]
    places = {"FlexFlowSid": made(world).rpartition("/")[2]} | openapi_chat.places(world)
    if "Conversations" not in path:
        places["MessageSid"] = unrouted(world).rpartition("/")[2]
    target = path.format(**places, Address=f"IG{places['FlexFlowSid'][2:]}", Identity=world.address())
    reply = world.rest("POST", target, {"Body": "x" * 513 * 1024})
    assert reply.status == 413
    check(name, reply)


def refused() -> Iterator[tuple[str, str]]:
    """Yield values of a flow's parameters that their schemas do not allow."""
    for name, schema in DOCUMENT["components"]["schemas"]["FlexFlowCreate"]["properties"].items():
        if "enum" in schema or "pattern" in schema or schema["type"] == "boolean":
            yield name, "maybe"
        if "maximum" in schema:
            yield name, str(schema["maximum"] + 1)
            yield name, str(schema["minimum"] - 1)
        if "maxLength" in schema:
            yield name, f"https://a.example/{'x' * schema['maxLength']}"


@pytest.mark.parametrize(("name", "value"), list(refused()), ids=lambda text: text[:40])
def test_what_a_schema_does_not_allow_is_400(world: World, name: str, value: str) -> None:
    """A value outside a documented schema is 400, naming the parameter."""
    reply = world.rest("POST", FLOWS, flow(world) | {name: value})
    assert (reply.status, reply.json["code"]) == (400, 45210)
    assert reply.json["message"].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("path", "schema"),
    [(FLOWS, "FlexFlowCreate"), (ADDRESSES, "AddressConfigurationCreate"), ("/v1/Routes", "RouteCreate")],
)
def test_what_a_schema_requires_is_required(world: World, path: str, schema: str) -> None:
    """A form without a documented required parameter is 400; with only these it is accepted."""
    whole = sendable(world)
    required = {name: whole[name] for name in DOCUMENT["components"]["schemas"][schema]["required"]}
    for name in required:
        reply = world.rest("POST", path, {other: value for other, value in required.items() if other != name})
        assert reply.status == 400, name
    assert world.rest("POST", path, required).status in (200, 201)


def test_too_many_wrong_credentials_are_refused_as_documented(world: World) -> None:
    """After too many wrong credentials each operation is 429, as documented."""
    for _ in range(21):
        asked(world, "listFlexFlows", secret="wrong")
    for name in GUARDED:
        reply = asked(world, name, secret="wrong")
        assert (reply.status, "Retry-After" in reply.headers) == (429, True), name
        check(name, reply)


def test_without_the_store_every_operation_is_503_as_documented(world: World) -> None:
    """Without the store each operation, and readiness, is 503, as documented."""
    made(world)
    world.valkey.kill()
    try:
        for name in (*GUARDED, "ready"):
            reply = asked(world, name)
            assert reply.status == 503, name
            check(name, reply)
    finally:
        world.valkey.start()
