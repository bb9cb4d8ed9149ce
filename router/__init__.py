"""A router for the inbound messages of a business on Twilio.

Besides the packages: `settings` has every setting, `metrics` every metric (`metric_buffer` and `metric_files` store
their values), `log` the fields of a log line. `app` composes the application.
"""
