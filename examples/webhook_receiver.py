"""Receive webhooks, verify each, print its type. Needs: pip install standardwebhooks.

WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py [PORT] [COUNT]
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


def verified(secret, headers, body):
    try:
        return Webhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError):
        return None  # not from Hutong, altered, or too old: answer 400


seen = {}  # in your system: a table with the id as its key


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        event = verified(os.environ["WEBHOOK_SECRET"], dict(self.headers), body)
        self.send_response(204 if event else 400)
        self.end_headers()
        if event and event["id"] not in seen:
            seen[event["id"]] = event
            print(event["type"], event["data"].get("merchant_order_no", event["data"]["id"]), flush=True)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port, count = (int(argument) for argument in [*sys.argv[1:], "9000", "1000000"][:2])
    with HTTPServer(("127.0.0.1", port), Receiver) as server:
        while len(seen) < count:
            server.handle_request()
