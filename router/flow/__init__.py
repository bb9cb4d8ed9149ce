"""The Flex Flow: its fields, flow files, comparison, unreachable flows, and the resources that show it to REST.

A parameter is a row of `parameter`, an integration type a row of `integration_type`. This package changes when Twilio's
FlexFlow or Address Configuration resource changes. It does not access the store; `router.routing` routes messages.
"""
