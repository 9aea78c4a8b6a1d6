"""/: what answers at this address, and where to go from here, for a person who opens it in a browser."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from hutong.http_responses import security_headers

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Hutong 互通</title><style>
body{{font:16px/1.6 system-ui,sans-serif;margin:0;color:#1f2329;background:#f2f3f5}}
main{{max-width:36rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:1rem}}
h1{{margin:0 0 .5rem}}li{{margin:.5rem 0}}a{{color:#1456f0}}[lang=zh-CN]{{color:#4e5560}}
@media (prefers-color-scheme:dark){{body{{background:#17181a;color:#e8eaed}}main{{background:#232528}}
a{{color:#82aaff}}[lang=zh-CN]{{color:#b4bac4}}}}
</style></head><body><main><h1>Hutong 互通</h1>
<p>This is the API of Hutong, an open-source payment platform. Programs of merchants call it,
and payers see its cashier.<br>
<span lang="zh-CN">这里是开源支付平台互通的接口：商户的程序调用它，付款人使用它的收银台。</span></p>
<ul>{items}</ul></main></body></html>
"""
_ITEM = '<li><a href="{address}">{text}</a> · <a href="{address}" lang="zh-CN">{chinese}</a></li>'
_SECURITY = security_headers(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_start_page(*, sandbox_url: str | None, find_cashier: Callable[[], str | None]) -> APIRouter:
    """Make the route of the page.

    Args:
        sandbox_url: The address of the simulated channels; None if there are none.
        find_cashier: Returns the address of a payment that anybody may look at, if there is one. Only called in play.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        links = [
            ("/docs", "API reference", "接口参考"),
            ("/till", "Till for payments at a counter, with a merchant's key", "线下收银，需商户密钥"),
            ("/readyz", "State of the platform", "平台状态"),
        ]
        if sandbox_url is not None:
            cashier = find_cashier()
            if cashier is not None:
                links.append((cashier, "The cashier with a payment to try", "收银台：试付一笔"))
            links.append(
                (f"{sandbox_url}/payer", "The simulated payer; no real money moves", "模拟付款人，不涉及真实资金")
            )
        items = "".join(
            _ITEM.format(address=escape(address), text=text, chinese=chinese) for address, text, chinese in links
        )
        return HTMLResponse(_PAGE.format(items=items), headers=_SECURITY)

    return router
