"""`router run` and `router reload`: start the router with its store and a demo account, and reload its settings."""
