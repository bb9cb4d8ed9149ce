"""`router flows` and `router explain`: Flex Flows as code, compared, imported, and tried on messages."""
