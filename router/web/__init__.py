"""The HTTP layer. Only this package and `router.app` import Flask.

A REST resource is one module here, registered in `router.app` and described in `router.web.openapi` and its `schema`.
What it asks is in `router.queries`. The pages of the console are in `console`, which says what a new page needs; the
visitor's side of web chat is in `chat`.
"""
