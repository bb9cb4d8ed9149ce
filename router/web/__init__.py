"""The HTTP layer. `router.web.openapi` describes the REST resources: `OPERATIONS` in its `__init__.py`, and `schema`.

A REST resource is one module here, registered in `router.app`. What it asks is in `router.queries`. The pages of the
console are in `console`, which says what a new page needs; the visitor's side of web chat is in `chat`. Figures read
from the store at a scrape are in `figures`. Only this package and `router.app` import Flask.
"""
