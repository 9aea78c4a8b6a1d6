"""Create a payment and wait for its end. Only the standard library is needed.

HUTONG=http://127.0.0.1:8080 KEY=sk_… python examples/create_payment.py ORDER_NUMBER AMOUNT_IN_FEN
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request


def call(method, path, body=None, headers=None):
    """One request; what was not done, or not answered, is sent again: the order number makes that safe."""
    while True:
        request = urllib.request.Request(
            os.environ["HUTONG"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {os.environ['KEY']}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                problem = json.load(error)
                sys.exit(f"{problem['code']}: {problem['detail']}")
        except OSError:
            pass
        time.sleep(1)


order_no, amount_minor = sys.argv[1], int(sys.argv[2])
payment = call(
    "POST",
    "/v1/payments",
    {"merchant_order_no": order_no, "amount_minor": amount_minor, "currency": "CNY", "subject": f"Order {order_no}"},
    {"Idempotency-Key": f"create-{order_no}"},
)
print("send the payer to", payment["checkout_url"], flush=True)
while payment["status"] not in ("succeeded", "closed"):
    time.sleep(1)  # in your system: a webhook tells you
    payment = call("GET", f"/v1/payments/{payment['id']}")
print(payment["merchant_order_no"], payment["status"], payment["amount_minor"], payment["currency"])
