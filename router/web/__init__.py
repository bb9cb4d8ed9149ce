"""The HTTP layer. `router.web.openapi` describes the REST resources: `OPERATIONS` in its `__init__.py`, and `schema`.

Each REST resource is a module here, registered in `router.app`; its queries are in `router.queries`. The pages of
the console are in `console`, which describes how to add a page; the visitor's API of web chat is in `chat`. Metrics
that are read from the store at each scrape are in `figures`. Only this package and `router.app` import Flask.
"""
