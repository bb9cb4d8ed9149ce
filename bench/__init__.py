"""The benchmark: measures the router from outside, beside what one would write without it. docs/bench.md explains it.

It starts the router as an operator does, and sends it signed webhooks over sockets. It may import the product's values
(messages, flows, the store's client); the product never imports it, and it is not part of what is installed.
"""
