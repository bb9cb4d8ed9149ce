"""`router simulate`, `record` and `replay-traffic`: signed webhooks, and Twilio's view of the answers."""
