"""From an accepted message to a settled one: lanes are drained, attempts retried, targets shared, late replies sent.

It decides what is repeated and when. It does not know HTTP towards Twilio's webhook (`router.web`), nor how a target
is called (`router.integrations`).
"""
