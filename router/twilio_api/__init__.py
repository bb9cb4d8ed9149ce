"""Twilio's REST API, through Twilio's own client, for commands that people run.

`client` is where the client is bound to Twilio and where its errors become ours; the other modules are what is asked
of it: what an account has and received (`account`), its flows (`flows`), and where its webhooks go (`webhooks`).
`connections` records which webhooks `router connect` has changed, `restored` which of their fields it restores.

https://www.twilio.com/docs/usage/api
"""
