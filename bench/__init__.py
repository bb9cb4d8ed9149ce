"""The benchmark: measures the router from outside, and compares it with simple alternatives. docs/bench.md explains it.

It starts the router as an operator does, and sends it signed webhooks over sockets. It may import the product's modules
(messages, flows, the store's client); the product never imports it, and the installed package does not contain it.
"""
