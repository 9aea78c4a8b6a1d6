"""Receive webhooks with FastAPI. Needs: pip install fastapi uvicorn standardwebhooks.

WEBHOOK_SECRET=whsec_… uvicorn fastapi_receiver:app --port 9000
"""

import os

from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

app = FastAPI()
webhook = Webhook(os.environ["WEBHOOK_SECRET"])
handled = set()  # in your system: a table with the event's id as its key


@app.post("/hutong")
async def hutong(request: Request) -> Response:
    try:
        event = webhook.verify(await request.body(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return Response(status_code=400)  # not from Hutong, altered, or too old
    if event["id"] not in handled:
        handled.add(event["id"])
        print(event["type"], event["data"]["id"], flush=True)
    return Response(status_code=204)
