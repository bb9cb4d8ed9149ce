"""QuickRule, a werkzeug routing rule that compiles its URL builders only when they are used."""

import pytest
from werkzeug.routing import Map, Rule

from router.web.rule import QuickRule

_RULE = "/v1/Deliveries/<sid>/<int:attempt>"


@pytest.mark.parametrize("append_unknown", [True, False])
def test_urls_are_built_as_by_werkzeug(append_unknown: bool) -> None:
    """QuickRule builds the same URLs as werkzeug's own rule, the first time and later."""
    quick, own = (Map([made(_RULE, endpoint="x")]).bind("example.com") for made in (QuickRule, Rule))
    for values in ({"sid": "SM/1", "attempt": 2}, {"sid": "é", "attempt": 3, "more": "?"}):
        built = [each.build("x", values, append_unknown=append_unknown) for each in (quick, quick, own)]
        assert built[0] == built[1] == built[2]


def test_nothing_is_compiled_before_it_is_needed() -> None:
    """Binding and matching a QuickRule compile no URL builder; the first `build` does."""
    rule = QuickRule(_RULE, endpoint="x")
    adapter = Map([rule]).bind("example.com")
    first = rule._build
    assert adapter.match("/v1/Deliveries/SM1/2") == ("x", {"sid": "SM1", "attempt": 2})
    assert rule._build is first
    adapter.build("x", {"sid": "SM1", "attempt": 2}, append_unknown=False)
    assert rule._build is not first
