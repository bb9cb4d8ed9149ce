"""Resolve: message, flows and contact in; the route and every reason for it out.

The functions are pure: time, the contact and the flows come in as arguments. Nothing here asks the store.
"""
