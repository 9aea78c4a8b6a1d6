"""Messages as UnionPay would sign them, made by hand."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.sandbox.unionpay.keys import MER_ID, Issued

ATTEMPT_NO = "att_01kas0000000000000000000zz"


def payment(**changed: str) -> dict[str, str]:
    fields = {
        "txnType": "01",
        "txnSubType": "01",
        "bizType": "000201",
        "accessType": "0",
        "merId": MER_ID,
        "orderId": ATTEMPT_NO.replace("_", ""),
        "queryId": "176721120000000000001",
        "txnTime": "20260101080000",
        "txnAmt": "8800",
        "currencyCode": "156",
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "settleDate": "0101",
        "traceNo": "000001",
        "traceTime": "0101080000",
    }
    return fields | changed


def sign(signer: Issued, fields: Mapping[str, str], **changed: str) -> dict[str, str]:
    signed = {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "signMethod": "01",
        "signPubKeyCert": signer.certificate_pem.replace("\n", "\r\n").strip(),
        **fields,
        **changed,
    }
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    digest = hashlib.sha256(text.encode()).hexdigest().encode()
    return signed | {"signature": base64.b64encode(signer.key.sign(digest, PKCS1v15(), SHA256())).decode()}


def form(fields: Mapping[str, str]) -> bytes:
    return urlencode(fields).encode()
