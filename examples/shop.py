"""A shop with one product, whole: order, cashier, webhook, result. Needs: pip install standardwebhooks.

HUTONG=http://127.0.0.1:8080 KEY=sk_… WEBHOOK_SECRET=whsec_… python examples/shop.py 9000
"""

import json
import os
import secrets
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

PORT = int(sys.argv[1])
orders = {}  # in your system: a table. Order number -> "open", "paid" or "closed"


def checkout_url(order_no):
    body = {"merchant_order_no": order_no, "amount_minor": 1999, "currency": "CNY", "subject": "Jasmine tea, 250 g"}
    body["return_url"] = f"http://127.0.0.1:{PORT}/orders/{order_no}"
    headers = {"Authorization": f"Bearer {os.environ['KEY']}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = f"create-{order_no}"
    request = urllib.request.Request(os.environ["HUTONG"] + "/v1/payments", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["checkout_url"]


def handled(body, headers):
    try:
        event = Webhook(os.environ["WEBHOOK_SECRET"]).verify(body, headers)
    except (WebhookVerificationError, ValueError):
        return False  # not from Hutong, altered, or too old
    states = {"payment.succeeded": "paid", "payment.closed": "closed"}
    if event["type"] in states:  # the same event twice changes nothing
        orders[event["data"]["merchant_order_no"]] = states[event["type"]]
    return True


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        order_no = self.path.partition("?")[0].removeprefix("/orders/")
        if order_no in orders:  # what came back with the payer proves nothing: show what the webhook has recorded
            self.reply(200, f"Order {order_no}: {orders[order_no]}")
        else:
            self.reply(200, '<form method="post" action="/buy"><button>Buy tea for 19.99 yuan</button></form>')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/buy":
            order_no = secrets.token_hex(8)
            orders[order_no] = "open"  # stored before the payment is created, so that no payment lacks its order
            self.reply(303, "", {"Location": checkout_url(order_no)})
        else:
            self.reply(204 if handled(body, dict(self.headers)) else 400, "")

    def reply(self, status, page, headers=None):
        self.send_response(status)
        for name, value in ({"Content-Type": "text/html; charset=utf-8"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.encode())


ThreadingHTTPServer(("127.0.0.1", PORT), Shop).serve_forever()
