# ruff: noqa: INP001 - gunicorn imports it by name; it is not part of the package
"""The baseline: a Flask view that reads the same form and answers the same TwiML, and does nothing else."""

from flask import Flask, Response, request

app = Flask("bare")


@app.post("/webhooks/sms")
def webhook() -> Response:
    """Read the form, and answer."""
    form = request.form.to_dict()
    twiml = '<?xml version="1.0" encoding="UTF-8"?><Response/>' if form["Body"] else ""
    return Response(twiml, content_type="text/xml")
