"""The front door for a business's inbound messages on Twilio.

Beside the packages: `settings` has every setting, `metrics` every metric (`metric_buffer` and `metric_files` only carry
them), `log` the fields that a line of the log may have. `app` makes the application of all of them.
"""
