"""The web: with `app`, the only importer of Flask."""
