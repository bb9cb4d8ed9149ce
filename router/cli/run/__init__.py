"""`router run` and `router reload`: the demo's configuration and flows, the address, the running router."""
