"""Routing: computes the route of a message, with the reasons for it, from the message, the flows and the contact.

The functions are pure: the time, the contact and the flows are arguments. This package does not access the store.
"""
