"""Routing rules that do not slow down the start of the application."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.routing import Rule


class QuickRule(Rule):
    """A rule that compiles its functions for building URLs only when a URL is built.

    werkzeug compiles two functions for each rule at the start. That took half of the time to create the application,
    which builds none of these URLs.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(rule: QuickRule, **values: Any) -> tuple[str, str]:
            compiled = super()._compile_builder(append_unknown)
            setattr(rule, "_build_unknown" if append_unknown else "_build", compiled.__get__(rule, None))
            return compiled(rule, **values)

        return build


class QuickFlask(Flask):
    """A Flask application with such rules."""

    url_rule_class = QuickRule
