"""Delivers accepted messages in order, with retries; the delays are ROUTER_RETRY_DELAYS in `router.settings`.

The package has the attempts, retries, slots of targets and late replies. It decides what is retried and when. It does
not contain the webhook view (`router.web`), nor the calls to targets (`router.integrations`).
"""
