"""Receive webhooks with Flask. Needs: pip install flask standardwebhooks.

WEBHOOK_SECRET=whsec_… flask --app flask_receiver run --port 9000
"""

import os

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])
handled = set()  # in your system: a table with the event's id as its key


@app.post("/hutong")
def hutong():
    try:
        event = webhook.verify(request.get_data(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return "", 400  # not from Hutong, altered, or too old
    if event["id"] not in handled:
        handled.add(event["id"])
        print(event["type"], event["data"]["id"], flush=True)
    return "", 204
