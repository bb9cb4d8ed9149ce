"""Flows that share an address: rules, languages, and whether a message moves its conversation to another flow."""

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
# A number of a country where the languages of the flows below are hardly spoken.
MESSAGE = Message(AC, "SM" + "1" * 32, "whatsapp:+819012345678", OURS, "whatsapp")
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()

# The likelihoods that a detector would return for these texts.
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
    """A clear text goes to its language's flow; a text in another language, or in none, to the default flow."""
    route = _route(_said(body), DEFAULT, *LANGUAGES)
    assert route.flow == expected
    assert route.language == language


def test_without_a_default_flow_an_undecided_message_is_unrouted() -> None:
    """Without a default flow, a message without a decided language is unrouted, and the reason says so."""
    route = _route(_said("ok"), *LANGUAGES)
    assert route.flow is None
    assert "no enabled one without Language and Match" in route.reason


def test_a_rule_goes_before_a_language_and_the_default_is_last() -> None:
    """A flow whose Match is met wins over a language flow unless its Priority is later; the default flow is last."""
    rule = _flow("4", Match='body.startsWith("Quiero")')
    spanish = _said("Quiero saber dónde está mi pedido")
    assert _route(spanish, replace(DEFAULT, priority=0), *LANGUAGES, rule).flow == rule
    assert _route(spanish, DEFAULT, *LANGUAGES, replace(rule, priority=1)).flow == SPANISH
    assert _route(_said("Where is my order please"), DEFAULT, *LANGUAGES, rule).flow == ENGLISH


def test_a_flow_with_language_and_match_needs_both() -> None:
    """A flow with Language and Match takes only messages in that language that meet the Match."""
    both = _flow("4", Language="es", Match="num_media > 0")
    spanish = _said("Quiero saber dónde está mi pedido")
    assert _route(spanish, DEFAULT, both).flow == DEFAULT
    assert _route(replace(spanish, num_media=1), DEFAULT, both).flow == both
    assert _route(replace(_said("Where is my order please"), num_media=1), DEFAULT, both, ENGLISH).flow == ENGLISH


def test_a_match_may_use_the_language_and_the_country() -> None:
    """A Match may use the decided language, one that the address's flows name, and the country."""
    rule = _flow("4", Match='language == "es" && country == "JP"')
    assert _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, SPANISH, rule).flow == rule
    assert _route(_said("Where is my order please"), DEFAULT, SPANISH, rule).flow == DEFAULT


def test_a_match_that_fails_at_run_time_is_false_and_reported() -> None:
    """A Match that fails at run time is false, and the route names its flow and says so."""
    failing = replace(_flow("4"), match="int(body) > 3")
    route = _route(_said("Where is my order please"), DEFAULT, failing)
    assert route.flow == DEFAULT
    assert [sid for sid, _ in route.failed] == [failing.sid]
    assert any(failing.sid in step and "could not be evaluated" in step for step in route.steps)


def test_a_stored_rule_that_does_not_compile_any_more_is_false() -> None:
    """A stored Match that does not compile is false, and the message goes to another flow."""
    route = _route(_said("x"), DEFAULT, replace(_flow("4"), match="nonsense(("))
    assert route.flow == DEFAULT
    assert route.failed


# -- evidence ---------------------------------------------------------------------------------------------------------


def test_country_preference_history_or_url_decides_an_ambiguous_text() -> None:
    """A word of two languages is decided by the number's country, a preference, the history, or the webhook's URL."""
    undecided = _said("pedido")
    assert _route(replace(undecided, from_="whatsapp:+5511987654321"), DEFAULT, *LANGUAGES).flow == PORTUGUESE
    assert _route(replace(undecided, from_="whatsapp:+34600111222"), DEFAULT, *LANGUAGES).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", preference="pt")).flow == PORTUGUESE
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", language="es")).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, known=Known("1", learned={"es": 0.95, "pt": 0.05})).flow == SPANISH
    assert _route(undecided, DEFAULT, *LANGUAGES, lang="es").flow == SPANISH


def test_the_language_in_the_webhooks_url_decides_without_a_text() -> None:
    """A language in the webhook's URL decides for a message without text; an invalid or other tag does not."""
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="es-MX").flow == SPANISH
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="xx-??").flow == DEFAULT
    assert _route(_said(""), DEFAULT, *LANGUAGES, lang="de").flow == DEFAULT


def test_every_decision_says_its_evidence_and_what_would_change_it() -> None:
    """The steps name the evidence, what would change the decision, and the chosen flow."""
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *LANGUAGES)
    said = "\n".join(route.steps)
    assert "The text (28 letters) fits es" in said
    assert "What would change it: " in said
    assert f"Flow for {OURS}: {SPANISH.sid}" in said


def test_an_address_with_one_flow_does_not_detect_the_language() -> None:
    """At an address with one flow the language detector is not called."""

    def fail(text: str, offered: Sequence[str]) -> None:
        raise AssertionError(text, offered)

    resolve(_said("Where is my order please"), [Entry(OURS, "v", (DEFAULT,))], Circumstance(NOON, likelihood=fail))


def test_an_address_with_many_flows_does_not_block_the_process() -> None:
    """With 500 flows at one address, `resolve` pauses before each Match, so other greenlets run."""
    flows = [_flow("1", Match=f"body.size() > {number}") for number in range(1600, 2100)]
    pauses: list[int] = []
    circumstance = Circumstance(NOON, likelihood=_likelihood, pause=lambda: pauses.append(1))
    resolve(_said("x" * 1600), [Entry(OURS, "v", (*flows, DEFAULT))], circumstance)
    assert len(pauses) >= len(flows)


def test_an_address_weighs_a_bounded_number_of_languages() -> None:
    """Of thousands of languages that an address's flows name, fewer than 300 are weighed."""
    regions = ["".join(letters) for letters in islice(product("ABCDEFGHIJKLMNOPQRSTUVWXYZ", repeat=2), 100)]
    tags = [",".join(f"{a}{b}-{region}" for a in "abcd" for b in "efghijkl") for region in regions]
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *(_flow("1", Language=each) for each in tags))
    assert route.choice is not None
    assert len(route.choice.learned) < 300


@pytest.mark.parametrize(("preference", "language"), [("pt-BR", ""), ("", "pt-BR"), ("pt", "es")])
def test_a_contacts_preference_wins_over_history_text_and_country(preference: str, language: str) -> None:
    """A contact's preference or set language wins over the text, the history and the country."""
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
def test_a_message_that_names_a_language_sets_the_preference(message: Message, tag: str) -> None:
    """With LanguageCommands, a message that is a language's name sets the preference and moves the conversation."""
    flows = (DEFAULT, replace(SPANISH, language_commands=True), ENGLISH, PORTUGUESE)
    route = _route(message, *flows)
    assert route.choice is not None
    assert route.choice.preference == tag
    assert route.language == tag
    assert (_strength(route) == Strength.OUTRIGHT) == bool(tag)
    assert _route(message, DEFAULT, *LANGUAGES).choice.preference == ""  # type: ignore[union-attr]  # off by default


def test_a_language_command_sets_the_preference_whichever_flow_answers() -> None:
    """A language command sets the preference although another flow takes the message; an opt-out sets none."""
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
def test_a_text_without_language_moves_no_conversation(body: str) -> None:
    """A text such as "ok", "si" or "1", a link or an emoji moves no conversation, also if the number has a country."""
    for message in (_said(body), replace(_said(body), from_="whatsapp:+34600111222")):
        route = _route(message, DEFAULT, *LANGUAGES)
        assert _strength(route) == Strength.SILENT
        assert route.choice.learned == {}  # type: ignore[union-attr]


def test_a_clear_text_decides_an_undecided_conversation_for_good() -> None:
    """A clear text is DECIDED and confident, which moves undecided conversations only; another language is SILENT."""
    route = _route(_said("Quiero saber dónde está mi pedido"), DEFAULT, *LANGUAGES)
    assert route.choice is not None
    assert (route.choice.strength, route.choice.confident, route.choice.language) == (Strength.DECIDED, True, "es")
    assert route.choice.learned["es"] > 0.9
    default = _route(_said("Wo bleibt meine Bestellung"), DEFAULT, *LANGUAGES)
    assert default.choice is not None
    assert (default.choice.strength, default.choice.confident) == (Strength.SILENT, False)


def test_a_clear_change_of_language_moves_where_the_address_allows_it() -> None:
    """With LanguageChange on one flow, a clear text moves a confident conversation; one word does not."""
    allowing = (DEFAULT, replace(SPANISH, language_change=True), ENGLISH, PORTUGUESE)
    assert _strength(_route(_said("Where is my order please"), *allowing)) == Strength.CLEAR
    brazilian = replace(_said("pedido"), from_="whatsapp:+5511987654321")
    assert _strength(_route(brazilian, *allowing)) == Strength.DECIDED


def test_a_preference_keeps_the_flow_though_the_text_is_clear() -> None:
    """A contact with a preference stays with its flow, also when a clear text is in another language."""
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
def test_which_kinds_of_match_move_a_conversation(match: str, strength: Strength, passing: bool) -> None:
    """A Match on content moves a conversation, one on the contact only new ones, one on time only for a while."""
    route = _route(_said("Where is my order please"), DEFAULT, _flow("4", Match=match))
    assert route.flow is not None
    assert route.flow.match == match
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient, route.choice.confident) == (strength, passing, True)


def test_a_match_with_a_language_waits_for_the_contacts_preference() -> None:
    """If flows differ only in Language, the contact's preference decides; without Language it need not be read."""
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


def test_a_language_flow_with_percent_moves_as_a_language_flow() -> None:
    """A flow with Language and percent() moves a conversation as a flow with Language alone does."""
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
def test_an_opt_out_message_goes_to_the_default_and_moves_nothing(message: Message) -> None:
    """An opt-out goes to the default flow, is no evidence, and does not move the conversation."""
    greedy = _flow("4", Match="body.size() > 0")
    route = _route(message, DEFAULT, *LANGUAGES, greedy)
    assert route.flow == DEFAULT
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient, route.choice.learned) == (Strength.SILENT, True, {})


def test_opt_outs_may_have_a_flow_of_their_own() -> None:
    """A flow whose Match uses `opt_out_type` takes opt-outs, and no other message."""
    leaving = _flow("4", Match='opt_out_type == "STOP"')
    route = _route(_said("STOP"), DEFAULT, *LANGUAGES, leaving)
    assert route.flow == leaving
    assert route.choice is not None
    assert (route.choice.strength, route.choice.transient) == (Strength.OUTRIGHT, True)
    assert _route(_said("Where is my order please"), DEFAULT, *LANGUAGES, leaving).flow == ENGLISH


def test_the_candidates_are_the_enabled_flows_of_the_channel() -> None:
    """The candidates are all enabled flows of the message's channel, and say which conversations never expire."""
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


def test_flows_for_every_address_are_candidates_without_a_default() -> None:
    """Flows for `*` are candidates only if the address has no enabled default flow."""
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
