"""The Flex Flow: its fields, flow files, comparison, unreachable flows, and the resources that show it to REST.

A parameter is a row of `parameter`, an integration type a row of `integration_type`. Changes when the FlexFlow or the
Address Configuration resource changes. Messages are routed in `router.routing`. This package does not access the store.
"""
