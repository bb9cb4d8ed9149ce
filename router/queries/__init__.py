"""Queries and actions shared by the REST API, the command line and the pages: deliveries, contacts, recovery.

Each has one implementation here for all its callers. This package does not print, and does not depend on HTTP.
"""
