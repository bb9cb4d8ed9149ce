"""`router flows` and `router explain`: Flex Flows as files, comparison with Twilio, and the routes of messages."""
