"""Twilio's REST API, through Twilio's own client, for commands that people run.

`client` restricts the client to Twilio's hosts and translates its errors. The other modules read and change resources:
an account's addresses and messages (`account`), its flows (`flows`) and its webhooks (`webhooks`). `connections`
records the webhooks that `router connect` has changed; `restored` determines which of their fields are restored.

https://www.twilio.com/docs/usage/api
"""
