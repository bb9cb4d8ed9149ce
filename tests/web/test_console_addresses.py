import html
import time
from collections.abc import Mapping

from router.flow.flex_flow import FlexFlow, Integration
from router.flow.integration_type import INTEGRATION_TYPES
from router.store.keys import AccountKeys
from tests.e2e.service import ACCOUNT
from tests.e2e.world import Reply, World
from tests.web.accounts import CONFIG
from tests.web.console import HERE, READING, Person, form_of, signed_in, text_of


def flow_of(world: World, sid: str, account: str = ACCOUNT) -> FlexFlow:
    """Read a flow that must exist."""
    with world.flows() as flows:
        flow = flows.get(account, sid)
    assert flow is not None
    return flow


def make(admin: Person, given: Mapping[str, str | list[str]]) -> Reply:
    """Fill in and send the form of a new address."""
    return admin.post(f"{HERE}/addresses/new", {**form_of(admin.get(f"{HERE}/addresses/new")), **given})


def test_an_address_is_made_and_changed_by_its_form(world: World, admin: Person) -> None:
    """The form stores what was typed, with the janitor on by default, and keeps values that it does not show."""
    address = world.address()
    given: dict[str, str | list[str]] = {
        "FriendlyName": "Soporte",
        "ChannelType": "sms",
        "ContactIdentity": address,
        "IntegrationType": "external",
        "Integration.Url": "https://example.com/inbound",
        "Integration.SigningKey": "a secret of the target",
        "Language": "es, PT-br",
        "Enabled": ["false", "true"],  # as a browser sends a checked switch
        "Paused": "false",
    }
    reply = make(admin, given)
    assert reply.status == 303
    sid = reply.headers["Location"].partition("addresses/")[2].partition("?")[0]
    flow = flow_of(world, sid)
    assert (flow.friendly_name, flow.contact_identity, flow.language) == ("Soporte", address, ("es", "pt-BR"))
    assert flow.janitor_enabled
    assert flow.enabled
    shown = admin.follow(reply)
    assert "The flow is created" in text_of(shown)
    assert b"a secret of the target" not in shown.body
    edited = form_of(admin.get(f"{HERE}/addresses/{sid}/edit"))
    assert edited["Integration.SigningKey"] == ""
    assert admin.post(f"{HERE}/addresses/{sid}/edit", edited).headers["Location"].endswith("notice=same")
    assert flow_of(world, sid) == flow
    edited |= {"FriendlyName": "Soporte 2", "IntegrationType": "studio", "Integration.FlowSid": "FW" + "1" * 32}
    assert "The flow is saved" in text_of(admin.follow(admin.post(f"{HERE}/addresses/{sid}/edit", edited)))
    changed = flow_of(world, sid)
    assert (changed.integration.type, changed.friendly_name) == ("studio", "Soporte 2")
    changes = text_of(admin.get(f"{HERE}/changes"))
    assert "console admin updated Soporte 2" in changes
    assert "console admin created" in changes


def test_the_list_names_the_target_of_every_integration_type(world: World, admin: Person) -> None:
    """The list shows each flow's target: its URL, handler or SID."""
    targets = {
        "proxy": {"Integration.ProxyServiceSid": "KS" + "7" * 32},
        "studio": {"Integration.FlowSid": "FW" + "7" * 32},
        "external": {"Integration.Url": "https://example.com/target"},
        "task": {"Integration.WorkflowSid": "WW" + "7" * 32, "Integration.WorkspaceSid": "WS" + "7" * 32},
        "handler": {"Integration.Handler": "echo"},
        "conversation": {"Integration.Url": "https://example.com/conversation"},
    }
    assert set(targets) == set(INTEGRATION_TYPES)
    for kind, given in targets.items():
        form = {"FriendlyName": f"To {kind}", "ChannelType": "sms", "ContactIdentity": world.address()}
        assert make(admin, {**form, "IntegrationType": kind, **given}).status == 303
        assert f"{kind} {next(iter(given.values()))}" in text_of(admin.get(f"{HERE}/addresses?q=To+{kind}"))


def test_each_error_is_shown_beside_its_field(world: World, admin: Person) -> None:
    """Each invalid field shows its error with Twilio's code, typed values stay, and no flow is made."""
    before = world.call("ZCARD", f"flows:{{5}}:{ACCOUNT}")
    wrong = {
        "FriendlyName": "x" * 257,
        "ChannelType": "sms",
        "ContactIdentity": "whatsapp:+14155550100",
        "Language": "<b>spanish</b>",
        "Match": "body ==",
        "Priority": "-1",
        "ValidityPeriod": "soon",
        "Integration.Url": "",
    }
    reply = make(admin, wrong)
    page = reply.body.decode()
    assert reply.status == 400
    for name in ("FriendlyName", "Language", "Match", "Priority", "ValidityPeriod", "Integration.Url"):
        field = page.partition(f'id="h-{name}"')[2].partition("</p>")[0]
        assert "(45210)" in field, name
    assert "&lt;b&gt;spanish&lt;/b&gt;" in page
    assert form_of(reply)["Match"] == "body =="
    assert world.call("ZCARD", f"flows:{{5}}:{ACCOUNT}") == before
    taken = world.flow("http://127.0.0.1:9/")
    second = {"FriendlyName": "Second", "ChannelType": "sms", "ContactIdentity": taken.contact_identity}
    reply = make(admin, second | {"Integration.Url": "https://example.com/"})
    assert reply.status == 409
    assert "(45212)" in reply.body.decode().partition('id="h-ContactIdentity"')[2].partition("</p>")[0]
    assert admin.post(f"{HERE}/addresses/new").status == 400


def test_two_people_cannot_overwrite_each_other(world: World, admin: Person) -> None:
    """A form that is out of date is 409 with the other person's change; saving it again stores it."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Ours")
    mine = form_of(admin.get(f"{HERE}/addresses/{flow.sid}/edit")) | {"FriendlyName": "Mine"}
    theirs = world.change(flow, friendly_name="Theirs", priority=7)
    reply = admin.post(f"{HERE}/addresses/{flow.sid}/edit", mine)
    assert reply.status == 409
    assert b"Another person changed this flow" in reply.body
    assert b"Theirs" in reply.body
    assert flow_of(world, flow.sid) == theirs
    assert admin.post(f"{HERE}/addresses/{flow.sid}/edit", form_of(reply)).status == 303
    assert flow_of(world, flow.sid).friendly_name == "Mine"


def test_a_change_is_previewed_over_the_last_hour(world: World, admin: Person) -> None:
    """A preview shows which of the last hour's messages would go elsewhere, and changes nothing."""
    english = world.flow("http://127.0.0.1:9/", friendly_name="English", paused=True)
    for n in range(3):
        world.text(english, Body=f"order {n}")
    edited = form_of(admin.get(f"{HERE}/addresses/{english.sid}/edit"))
    edited |= {"Match": "body == 'order 1'", "do": "preview"}
    said = text_of(admin.post(f"{HERE}/addresses/{english.sid}/edit", edited))
    assert "2 of the last hour's" in said
    assert "2 of them to no flow" in said
    assert "English → no flow" in said
    assert flow_of(world, english.sid) == english
    never = text_of(admin.post(f"{HERE}/addresses/{english.sid}/edit", edited | {"Match": "channel == 'fax'"}))
    assert "its Match is never true" in never


def test_languages_are_listed_as_people_write_them(world: World, admin: Person) -> None:
    """A preview, the page of an address and its changes show several languages as `en, es`."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Several", language=("es",))
    edited = form_of(admin.get(f"{HERE}/addresses/{flow.sid}/edit"))
    assert edited["Language"] == "es"
    edited |= {"Language": "es,pt"}
    previewed = text_of(admin.post(f"{HERE}/addresses/{flow.sid}/edit", edited | {"do": "preview"}))
    assert "language es → es, pt" in " ".join(previewed.split())
    assert admin.post(f"{HERE}/addresses/{flow.sid}/edit", edited).status == 303
    page = admin.get(f"{HERE}/addresses/{flow.sid}")
    assert "Language es, pt" in " ".join(text_of(page).split())
    assert b"Language=es,pt&#39;" in page.body or b"Language=es,pt'" in page.body
    assert "language: es → es, pt" in " ".join(text_of(admin.get(f"{HERE}/changes")).split())


def test_the_switches_say_what_they_do(world: World, admin: Person) -> None:
    """Each switch changes one property and the page says which; a conflict is 409, an unknown switch 400."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Switched")

    def switch(which: str) -> str:
        return text_of(admin.follow(admin.post(f"{HERE}/addresses/{flow.sid}/switch", {"switch": which})))

    assert "It is paused" in switch("pause")
    assert flow_of(world, flow.sid).paused
    assert "It is disabled" in switch("disable")
    assert "Janitor: on" in switch("JanitorEnabled=true")
    assert "Long-lived: on" in switch("LongLived=true")
    switch("resume")
    now = flow_of(world, flow.sid)
    assert (now.paused, now.enabled, now.janitor_enabled, now.long_lived) == (False, False, True, True)
    rival = world.flow("http://127.0.0.1:9/", contact_identity=flow.contact_identity)
    refused = admin.post(f"{HERE}/addresses/{flow.sid}/switch", {"switch": "enable"})
    assert refused.status == 409
    assert rival.sid.encode() in refused.body
    assert admin.post(f"{HERE}/addresses/{flow.sid}/switch", {"switch": "explode"}).status == 400


def test_deleting_says_what_would_be_left_unrouted(world: World, admin: Person) -> None:
    """Before a flow is deleted the page counts the messages that would be unrouted; after it the flow is 404."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Leaving", paused=True)
    world.text(flow)
    page = admin.get(f"{HERE}/addresses/{flow.sid}/delete")
    assert f"<title>Delete {flow.friendly_name}? · Router</title>" in page.body.decode()
    asked = text_of(page)
    assert "1 conversation waits for it" in asked
    assert "1 of them to no flow" in asked
    assert "The flow is deleted" in text_of(admin.follow(admin.post(f"{HERE}/addresses/{flow.sid}/delete")))
    for path in ("", "/edit", "/delete"):
        assert admin.get(f"{HERE}/addresses/{flow.sid}{path}").status == 404


def test_the_list_is_searched(world: World, admin: Person) -> None:
    """The list is searched by name, address, SID, language, channel, integration and state."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Findable thing", language=("gsw",), paused=True)
    hidden = world.flow(
        integration=Integration("handler", handler="echo"),
        friendly_name="Other thing",
        channel_type="whatsapp",
        contact_identity=f"whatsapp:{world.address()}",
    )
    for query in (
        "q=findable",
        f"q={flow.contact_identity[1:]}",
        f"q={flow.sid}",
        f"q=IG{flow.sid[2:]}",
        "q=gsw",
        "q=thing&state=paused",
        "q=thing&integration=external",
        "q=thing&channel=sms",
    ):
        said = text_of(admin.get(f"{HERE}/addresses?{query}"))
        assert "Findable thing" in said, query
        assert "Other thing" not in said, query
    assert "No address matches" in text_of(admin.get(f"{HERE}/addresses?q=%3Cscript%3E"))
    assert admin.get(f"{HERE}/addresses/IG{hidden.sid[2:]}").headers["Location"].endswith(hidden.sid)


def test_a_flows_page_shows_it_as_file_and_curl_command(world: World, admin: Person) -> None:
    """A flow's page shows it as flow file and as curl command, quoted for a shell, without secrets."""
    flow = world.flow("https://example.com/in", friendly_name="It's ours")
    page = html.unescape(admin.get(f"{HERE}/addresses/{flow.sid}").body.decode())
    assert f'sid = "{flow.sid}"' in page
    assert """--data-urlencode 'FriendlyName=It'\\''s ours'""" in page
    assert "5" * 32 + "'" not in page


def test_a_flow_is_not_found_under_another_account(world: World, admin: Person) -> None:
    """A flow is 404 under another account's pages; a viewer's changes are 403."""
    flow = world.flow("http://127.0.0.1:9/", friendly_name="Mine alone")
    other = f"/console/{CONFIG.partition('sid = ')[2][1:35]}"
    assert b"Mine alone" not in admin.get(f"{other}/addresses").body
    form = form_of(admin.get(f"{HERE}/addresses/{flow.sid}/edit"))
    for path, given in (("edit", form), ("switch", {"switch": "pause"}), ("delete", {})):
        assert admin.post(f"{other}/addresses/{flow.sid}/{path}", given).status == 404
        assert signed_in(world, READING).post(f"{HERE}/addresses/{flow.sid}/{path}", given).status == 403
    assert flow_of(world, flow.sid) == flow


def test_an_address_without_an_enabled_flow_has_a_warning_on_its_page(world: World, admin: Person) -> None:
    """A disabled flow's page warns if messages came to its address and no enabled flow takes them."""
    flow = world.flow("https://example.com/in", enabled=False)
    path = f"{HERE}/addresses/{flow.sid}"
    assert "leads here" not in text_of(admin.get(path))
    world.call("ZADD", AccountKeys(ACCOUNT).seen, int(time.time() * 1000), flow.contact_identity)
    assert f"{flow.contact_identity} points to this router, but no enabled flow takes its sms messages" in text_of(
        admin.get(path)
    )
