"""Flows that share an address: rules, languages, and what a conversation's own flow is weighed against."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, product

import pytest

from router.flow.flex_flow import FlexFlow
from router.language.evidence import OTHER
from router.message.inbound import Message
from router.routing.contact import Known, Strength
from router.routing.resolve import Circumstance, Entry, Route, resolve
from tests.core.flows import AC, flow

OURS = "whatsapp:+15551234567"
# A number of a country that says next to nothing of the languages that the flows below have.
MESSAGE = Message(AC, "SM" + "1" * 32, "whatsapp:+819012345678", OURS, "whatsapp")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()

# What a detector would say of texts.
READ: Mapping[str, Mapping[str, float]] = {
    "Quiero saber dónde está mi pedido": {"es": 1.0, "pt": 1e-3, "en": 1e-4, OTHER: 1e-4},
    "Where is my order please": {"es": 1e-4, "pt": 1e-4, "en": 1.0, OTHER: 1e-4},
    "Wo bleibt meine Bestellung": {"es": 1e-4, "pt": 1e-4, "en": 1e-4, OTHER: 1.0},
    "pedido": {"es": 1.0, "pt": 0.9, "en": 1e-2, OTHER: 1e-2},
}


def _likelihood(text: str, offered: Sequence[str]) -> Mapping[str, float] | None:
    found = READ.get(text)
    return {tag: found.get(tag, 1e-4) for tag in (*offered, OTHER)} if found else None


def _flow(digit: str, **more: str) -> FlexFlow:
    return flow({"ChannelType": "whatsapp", "ContactIdentity": OURS} | more, sid="FO" + digit * 32)


DEFAULT = _flow("0")
SPANISH, ENGLISH, PORTUGUESE = (_flow(n, Language=tag) for n, tag in (("1", "es"), ("2", "en"), ("3", "pt")))
LANGUAGES = (SPANISH, ENGLISH, PORTUGUESE)


def _route(message: Message, *flows: FlexFlow, known: Known | None = None, lang: str = "") -> Route:
    circumstance = Circumstance(NOON, known=known or Known(), lang=lang, likelihood=_likelihood)
    return resolve(message, [Entry(OURS, "v", flows), Entry("*", "", ())], circumstance)


def _said(body: str, **params: str) -> Message:
    return replace(MESSAGE, body=body, params=params)


def _strength(route: Route) -> Strength:
    assert route.choice is not None
    return route.choice.strength


# -- which flow -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected", "language"),
    [
        ("Quiero saber dónde está mi pedido", SPANISH, "es"),
        ("Where is my order please", ENGLISH, "en"),
        ("Wo bleibt meine Bestellung", DEFAULT, ""),
        ("pedido", DEFAULT, ""),
        ("", DEFAULT, ""),
        ("👍🎉", DEFAULT, ""),
        ("https://example.com/pedido", DEFAULT, ""),
        ("12345", DEFAULT, ""),
        ("\x00\ud800", DEFAULT, ""),
    ],
)
def test_a_message_goes_to_the_flow_of_its_language(body: str, expected: FlexFlow, language: str) -> None:
    """A clear text reaches its language's flow; a text in another language, or in none, goes to the default flow."""
    route = _route(_said(body), DEFAULT, *LANGUAGES)
    assert route.flow == expected
    assert route.language == language


def test_without_a_default_what_is_not_decided_is_unrouted() -> None:
    """The router does not guess: it keeps the message, and the reason says what is missing."""
    route = _route(_said("ok"), *LANGUAGES)
    assert route.flow is None
    assert "no enabled one without Language and Match" in route.reason


def test_a_rule_goes_before_a_language_and_the_default_is_last() -> None:
    """A Match that is met takes the message, whatever its language; Priority decides, but never for the default."""
    rule = _flow("4", Match='body.startsWith("Quiero")')
    spanish = _said("Quiero saber dónde está mi pedido")
    assert _route(spanish, replace(DEFAULT, priority=0), *LANGUAGES, rule).flow == rule
    assert _route(spanish, DEFAULT, *LANGUAGES, replace(rule, priority=1)).flow == SPANISH
    assert _route(_said("Where is my order please"), DEFAULT, *LANGUAGES, rule).flow == ENGLISH


def test_a_flow_with_both_needs_both() -> None:
    """A flow that has Language and Match takes messages in that language which meet the rule."""
    both = _flow("4", Language="es", Match="num_media > 0")
    spanish = _said("Quiero saber dónde está mi pedido")
    assert _route(spanish, DEFAULT, both).flow == DEFAULT
    assert _route(replace(spanish, num_media=1), DEFAULT, both).flow == both
    assert _route(replace(_said("Where is my order please"), num_media=1), DEFAULT, both, ENGLISH).flow == ENGLISH


def test_a_rule_may_ask_for_what_was_decided() -> None:
    """`language` and `country` are there for rules: the language is one that the address's flows name."""
    rule = _flow("4", Match='language == "es" && country == "JP"')
    assert _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, SPANISH, rule).flow == rule
    assert _route(_said("Where is my order please"), DEFAULT, SPANISH, rule).flow == DEFAULT


def test_a_rule_without_a_value_is_false_and_told() -> None:
    """An expression that fails at run time takes nothing; the route says which, and why."""
    failing = replace(_flow("4"), match="int(body) > 3")
    route = _route(_said("Where is my order please"), DEFAULT, failing)
    assert route.flow == DEFAULT
    assert [sid for sid, _ in route.failed] == [failing.sid]
    assert any(failing.sid in step and "could not be evaluated" in step for step in route.steps)


def test_a_stored_rule_that_does_not_compile_any_more_is_false() -> None:
    """A record of an older version, or of a newer one, never stops a message."""
    route = _route(_said("x"), DEFAULT, replace(_flow("4"), match="nonsense(("))
    assert route.flow == DEFAULT
    assert route.failed


# -- evidence ---------------------------------------------------------------------------------------------------------


def test_evidence_adds_up() -> None:
    """A word of two languages is decided by the number's country, a preference, or the webhook's URL."""
    undecided = _said("pedido")
    assert _route(replace(undecided, from_="whatsapp:+5511987654321"), DEFAULT, *LANGUAGES).flow == PORTUGUESE
    assert _route(replace(undecided, from_="whatsapp:+34600111222"), DEFAULT, *LANGUAGES).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", preference="pt")).flow == PORTUGUESE
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", language="es")).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", learned={"es": 0.95, "pt": 0.05})).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, lang="es").flow == SPANISH


def test_what_the_url_says_decides_where_the_text_does_not() -> None:
    """A webhook whose URL names a language serves it, also without a text; a wrong tag says nothing."""
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="es-MX").flow == SPANISH
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="xx-??").flow == DEFAULT
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="de").flow == DEFAULT


def test_every_decision_says_its_evidence_and_what_would_change_it() -> None:
    """The steps name what was weighed, and what the decision hangs on."""
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *LANGUAGES)
    said = "\n".join(route.steps)
    assert "The text (28 letters) fits es" in said
    assert "What would change it: " in said
    assert f"Flow for {OURS}: {SPANISH.sid}" in said


def test_an_address_with_one_flow_reads_nothing() -> None:
    """Detection costs nothing where there is nothing to choose."""

    def fail(text: str, offered: Sequence[str]) -> None:
        raise AssertionError(text, offered)

    resolve(_said("Where is my order please"), [Entry(OURS, "v", (DEFAULT,))], Circumstance(NOON, likelihood=fail))


def test_an_address_with_many_flows_does_not_block_the_process() -> None:
    """With as many flows as an address may have, the process may do its other work before each of their rules."""
    flows = [_flow("1", Match=f"body.size() > {number}") for number in range(1600, 2100)]
    pauses: list[int] = []
    circumstance = Circumstance(NOON, likelihood=_likelihood, pause=lambda: pauses.append(1))
    resolve(_said("x" * 1600), [Entry(OURS, "v", (*flows, DEFAULT))], circumstance)
    assert len(pauses) >= len(flows)


def test_an_address_weighs_so_many_languages() -> None:
    """Five hundred flows may name sixteen thousand: the first ones are weighed, in milliseconds, and remembered."""
    regions = ["".join(letters) for letters in islice(product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=2), 100)]
    tags = [",".join(f"{a}{b}-{region}" for a in "abcd" for b in "efghijkl") for region in regions]
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *(_flow("1", Language=each) for each in tags))
    assert route.choice is not None
    assert len(route.choice.learned) < 300


@pytest.mark.parametrize(("preference", "language"), [("pt-BR", ""), ("", "pt-BR"), ("pt", "es")])
def test_what_was_chosen_wins_over_all_that_was_written(preference: str, language: str) -> None:
    """Who chose Portuguese is served in it, also after months of Spanish and with a Spanish sentence."""
    known = Known("1", preference, language, learned={"es": 0.999, "pt": 0.001})
    spanish = replace(_said("Quiero saber dónde está mi pedido"), from_="whatsapp:+34600111222")
    route = _route(spanish, DEFAULT, *LANGUAGES, known=known)
    assert (route.flow, route.language) == (PORTUGUESE, "pt")


# -- preference commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "tag"),
    [
        (_said("ESPAÑOL"), "es"),
        (_said(" espanol! "), "es"),
        (_said("Spanish"), "es"),
        (_said("Português"), "pt"),
        (replace(_said("x", ButtonPayload="language:en", ButtonText="x"), body="Inglês"), "en"),
        (_said("Deutsch"), ""),
        (_said("no hablo español"), ""),
    ],
)
def test_who_names_a_language_is_served_in_it(message: Message, tag: str) -> None:
    """Where a flow allows it, a message that is a language's name sets the contact's preference, and moves them."""
    flows = (DEFAULT, replace(SPANISH, language_commands=True), ENGLISH, PORTUGUESE)
    route = _route(message, *flows)
    assert route.choice is not None
    assert route.choice.preference == tag
    assert route.language == tag
    assert (_strength(route) == Strength.OUTRIGHT) == bool(tag)
    assert _route(message, DEFAULT, *LANGUAGES).choice.preference == ""  # type: ignore[union-attr]  # off by default


def test_a_language_that_is_named_is_heard_by_whichever_flow_takes_the_message() -> None:
    """ESPAÑOL at night sets the preference, too, though the night's flow answers; an opt-out word sets none."""
    spanish = replace(SPANISH, language_commands=True)
    night = _flow("4", Match="now.getHours() < 24")
    route = _route(_said("ESPAÑOL"), DEFAULT, spanish, night)
    assert route.flow == night
    assert route.choice is not None
    assert (route.choice.preference, route.choice.transient) == ("es", True)
    leaving = _route(replace(_said("Español"), opt_out_type="STOP"), DEFAULT, spanish)
    assert leaving.choice is not None
    assert leaving.choice.preference == ""


# -- against the conversation's own flow ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["ok", "si", "1", "no", "https://example.com/x", "👍", "", "www.pedido.es"])
def test_what_says_nothing_moves_no_conversation(body: str) -> None:
    """Neither "ok", "si", "1" nor a link ever re-decides, not even with the number's country."""
    for message in (_said(body), replace(_said(body), from_="whatsapp:+34600111222")):
        route = _route(message, DEFAULT, *LANGUAGES)
        assert _strength(route) == Strength.SILENT
        assert route.choice.learned == {}  # type: ignore[union-attr]


def test_a_decided_language_moves_only_what_is_not_firm() -> None:
    """A clear text decides where the conversation is undecided, and for good; it does not leave a confident one."""
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *LANGUAGES)
    assert route.choice is not None
    assert (route.choice.strength, route.choice.confident, route.choice.language) == (Strength.DECIDED, True, "es")
    assert route.choice.learned["es"] > 0.9
    default = _route(_said("Wo bleibt meine Bestellung"), DEFAULT, *LANGUAGES)
    assert default.choice is not None
    assert (default.choice.strength, default.choice.confident) == (Strength.SILENT, False)


def test_a_clear_change_of_language_moves_where_the_address_allows_it() -> None:
    """With LanguageChange on one of its flows, a long enough clear text leaves a confident conversation."""
    allowing = (DEFAULT, replace(SPANISH, language_change=True), ENGLISH, PORTUGUESE)
    assert _strength(_route(_said("Where is my order please"), *allowing)) == Strength.CLEAR
    brazilian = replace(_said("pedido"), from_="whatsapp:+5511987654321")
    assert _strength(_route(brazilian, *allowing)) == Strength.DECIDED


def test_who_chose_a_language_keeps_it_whatever_they_write() -> None:
    """A clear text is weighed against what the contact prefers before it moves anything."""
    allowing = (DEFAULT, replace(SPANISH, language_change=True), ENGLISH, PORTUGUESE)
    english = _said("Where is my order please")
    alone = _route(english, *allowing).choice
    assert alone is not None
    assert (alone.strength, alone.settled) == (Strength.CLEAR, False)
    preferring = _route(english, *allowing, known=Known("1", preference="es"))
    assert preferring.flow is not None
    assert preferring.flow.sid == SPANISH.sid
    assert _strength(preferring) == Strength.DECIDED


@pytest.mark.parametrize(
    ("match", "strength", "passing"),
    [
        ('body.contains("order")', Strength.OUTRIGHT, False),
        ('params["Body2"] == ""', Strength.OUTRIGHT, False),
        ("percent(100)", Strength.SILENT, False),
        ('channel == "whatsapp" && country == "JP"', Strength.SILENT, False),
        ('now.getHours("Europe/Berlin") > 3', Strength.OUTRIGHT, True),
    ],
)
def test_which_rules_leave_a_conversation(match: str, strength: Strength, passing: bool) -> None:
    """A Match about content moves a conversation, about the customer only new ones, about time only for a while."""
    route = _route(_said("Where is my order please"), DEFAULT, _flow("4", Match=match))
    assert route.flow is not None
    assert route.flow.match == match
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient, route.choice.confident) == (strength, passing, True)


def test_a_rule_that_needs_the_language_asks_who_the_contact_is() -> None:
    """Two flows with one rule and a language each: what the contact prefers decides between them, not only the text."""
    spanish, english = (_flow(n, Language=tag, Match='body == "#"') for n, tag in (("4", "es"), ("5", "en")))
    from_spain = replace(_said("#"), from_="whatsapp:+34600111222")
    route = _route(from_spain, DEFAULT, spanish, english, lang="es")
    assert route.flow == spanish
    assert route.choice is not None
    assert (route.choice.strength, route.choice.settled) == (Strength.OUTRIGHT, False)
    assert _route(from_spain, DEFAULT, spanish, english, known=Known("1", preference="en")).flow == english
    alone = _route(from_spain, DEFAULT, _flow("4", Match='body == "#"'), ENGLISH)
    assert alone.choice is not None
    assert alone.choice.settled


def test_a_canary_of_one_language_does_as_the_language_does() -> None:
    """ESPAÑOL moves a confident conversation to a flow for a share of the Spanish ones, too; a sentence does not."""
    canary = replace(_flow("4", Language="es", Match="percent(100)"), language_commands=True)
    named = _route(_said("ESPAÑOL"), DEFAULT, *LANGUAGES, canary)
    assert (named.flow, _strength(named)) == (canary, Strength.OUTRIGHT)
    assert _strength(_route(_said("Quiero saber dónde está mi pedido"), DEFAULT, canary)) == Strength.DECIDED
    changing = replace(canary, language_change=True)
    assert _strength(_route(_said("Quiero saber dónde está mi pedido"), DEFAULT, changing)) == Strength.CLEAR


# -- opt-outs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message", [_said("STOP"), _said("stop."), _said("Désabonner"), replace(_said("Bye"), opt_out_type="STOP")]
)
def test_an_opt_out_changes_no_route(message: Message) -> None:
    """Words for opting out are no evidence, meet no rule that does not ask for them, and leave the conversation be."""
    greedy = _flow("4", Match="body.size() > 0")
    route = _route(message, DEFAULT, *LANGUAGES, greedy)
    assert route.flow == DEFAULT
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient, route.choice.learned) == (Strength.SILENT, True, {})


def test_opt_outs_may_have_a_flow_of_their_own() -> None:
    """A rule that asks for `opt_out_type` takes that message, and only that."""
    leaving = _flow("4", Match='opt_out_type == "STOP"')
    route = _route(_said("STOP"), DEFAULT, *LANGUAGES, leaving)
    assert route.flow == leaving
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient) == (Strength.OUTRIGHT, True)
    assert _route(_said("Where is my order please"), DEFAULT, *LANGUAGES, leaving).flow == ENGLISH


def test_candidates_are_what_a_conversation_may_stay_with() -> None:
    """All enabled flows of the message's channel, with what becomes of a message there and how long one may be idle."""
    lasting = replace(ENGLISH, long_lived=True)
    ended = replace(PORTUGUESE, long_lived=True, janitor_enabled=True)
    disabled = replace(_flow("5", Language="fr"), enabled=False)
    elsewhere = replace(_flow("6"), channel_type="sms")
    route = _route(_said("x"), DEFAULT, SPANISH, lasting, ended, disabled, elsewhere)
    assert route.choice is not None
    assert {each.flow_sid: each.lasting for each in route.choice.candidates} == {
        DEFAULT.sid: False,
        SPANISH.sid: False,
        lasting.sid: True,
        ended.sid: False,
    }


def test_a_conversation_may_stay_with_any_flow_that_could_take_it() -> None:
    """Those of `*` are candidates where no flow of the address takes the rest, and their change is noticed."""
    anywhere = [replace(each, contact_identity="*") for each in (_flow("7"), _flow("8", Match='body == "#"'))]
    said = _said("Quiero saber dónde está mi pedido")
    for flows, expected in (
        ((SPANISH,), {SPANISH.sid, *(each.sid for each in anywhere)}),
        ((SPANISH, DEFAULT), {SPANISH.sid, DEFAULT.sid}),
        ((SPANISH, replace(DEFAULT, enabled=False)), {SPANISH.sid, *(each.sid for each in anywhere)}),
    ):
        route = resolve(
            said,
            [Entry(OURS, "v", flows), Entry("*", "w", tuple(anywhere))],
            Circumstance(NOON, likelihood=_likelihood),
        )
        assert route.flow == SPANISH
        assert route.choice is not None
        assert {each.flow_sid for each in route.choice.candidates} == expected
        assert [entry.identity for entry in route.entries] == ([OURS, "*"] if len(expected) > 2 else [OURS])
        assert route.kept(anywhere[0].sid, "").flow == (anywhere[0] if len(expected) > 2 else SPANISH)
