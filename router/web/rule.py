"""Routing rules that cost little at the start of the application."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.routing import Rule


class QuickRule(Rule):
    """A rule that compiles the functions that build its URLs when the first URL is built.

    werkzeug compiles two functions for each rule at the start. That was half of the time to make the application, and
    we build none of these URLs.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(rule: QuickRule, **values: Any) -> tuple[str, str]:
            compiled = super()._compile_builder(append_unknown)
            setattr(rule, "_build_unknown" if append_unknown else "_build", compiled.__get__(rule, None))
            return compiled(rule, **values)

        return build


class QuickFlask(Flask):
    """An application with such rules."""

    url_rule_class = QuickRule
