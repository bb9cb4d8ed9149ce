"""Delivery of accepted messages: lanes, attempts and retries, slots of targets, late replies.

This package decides what is retried and when; the delays are the setting ROUTER_RETRY_DELAYS (`router.settings`). It
does not know HTTP towards Twilio's webhook (`router.web`), nor how a target is called (`router.integrations`).
"""
