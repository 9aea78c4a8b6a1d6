"""The page's texts in each of its languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """The texts of one language. Each is required, so that none can be forgotten."""

    code: str
    tag: str
    own_name: str
    title: str
    skip: str
    language: str
    sandbox: str
    order: str
    pay_to: str
    amount: str
    description: str
    order_no: str
    reference: str
    method: str
    paid_at: str
    closed_at: str
    time_left: str
    time_until: str
    """Before a date."""
    choose: str
    unavailable: str
    unavailable_detail: str
    pay: str
    retry: str
    declined: str
    failed: str
    failed_detail: str
    start_failed: str
    start_unknown: str
    in_progress: str
    """Contains {wallet} and {minutes}."""
    in_progress_unknown: str
    """Contains {wallet}."""
    in_progress_back: str
    open_in_browser: str
    elsewhere: str
    renew: str
    renew_detail: str
    renew_button: str
    scan: str
    qr_code: str
    waiting: str
    other_method: str
    play_payer: str
    proceed: str
    proceed_detail: str
    proceed_button: str
    in_app: str
    in_app_detail: str
    confirming: str
    confirming_detail: str
    succeeded: str
    succeeded_detail: str
    closed: str
    closed_expired: str
    closed_merchant: str
    closed_detail: str
    back: str
    going: str
    """Contains {seconds}."""
    stay: str
    offline: str
    no_script: str
    footer: str
    not_found: str
    not_found_detail: str
    busy: str
    busy_detail: str
    refused: str
    refused_detail: str
    broken: str
    broken_detail: str
    wallets: Mapping[str, str] = field(repr=False)
    methods: Mapping[str, str] = field(repr=False)
    """By the method's name, for those that do not begin with their wallet's."""
    hints: Mapping[str, str] = field(repr=False)
    """By the method's name."""
    any_hint: str

    @property
    def direction(self) -> str:
        """The direction of the script, as HTML's `dir`."""
        return "rtl" if self.code in _RIGHT_TO_LEFT else "ltr"


_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})

ENGLISH = Translations(
    code="en",
    tag="en",
    own_name="English",
    title="Pay",
    skip="Skip to payment",
    language="Language",
    sandbox="Sandbox · no real money",
    order="Order",
    pay_to="Pay to",
    amount="Amount",
    description="Description",
    order_no="Order number",
    reference="Reference",
    method="Method",
    paid_at="Paid at",
    closed_at="Closed at",
    time_left="Time left",
    time_until="Pay before",
    choose="Choose how to pay",
    unavailable="No way to pay right now",
    unavailable_detail="No method can take this payment at the moment. The merchant has been notified. "
    "You have not paid anything.",
    pay="Pay",
    retry="Try again",
    declined="The payment was declined",
    failed="The payment did not go through",
    failed_detail="No money was taken. Try again, or choose another method.",
    start_failed="This did not work. Nothing was taken; please try again in a moment.",
    start_unknown="No answer has arrived. This page is finding out what happened; please wait before you pay again.",
    in_progress="You have chosen {wallet}, and that order can still be paid. Pay it there, or choose another method in "
    "{minutes} min at the latest.",
    in_progress_unknown="You have chosen {wallet}, and that order could still be paid. Pay it there, or try again in a "
    "minute.",
    in_progress_back="Back to the open order",
    open_in_browser="This app does not open every wallet. For more ways to pay, tap the menu in the corner and open "
    "this page in the browser of your phone.",
    elsewhere="Open this page in your browser",
    renew="The code or link has expired",
    renew_detail="Get a new one to pay. If you have just paid, do not pay again: this page shows the result by itself.",
    renew_button="Get a new one",
    scan="Scan to pay",
    qr_code="QR code for this payment",
    waiting="Waiting for your payment",
    other_method="Choose another method",
    play_payer="Play the payer",
    proceed="Continue to pay",
    proceed_detail="You pay on the page of the payment provider and come back here afterwards.",
    proceed_button="Continue",
    in_app="Continue in the app",
    in_app_detail="Pay in the application in which you started. This page updates by itself.",
    confirming="Confirming your payment",
    confirming_detail="We are waiting for the answer. This page updates by itself; please do not pay again.",
    succeeded="Payment successful",
    succeeded_detail="Thank you. You may close this page.",
    closed="This payment is closed",
    closed_expired="The time to pay is over",
    closed_merchant="The merchant has cancelled this payment",
    closed_detail="It can no longer be paid. If money was taken all the same, it is returned to you automatically.",
    back="Return to merchant",
    going="Returning to the merchant in {seconds} s",
    stay="Stay here",
    offline="No connection. This page keeps trying.",
    no_script="Without JavaScript this page renews itself every few seconds.",
    footer="Payments by",
    not_found="There is no such payment",
    not_found_detail="The link may be incomplete or no longer valid. Please go back to the shop and start again.",
    busy="One moment, please",
    busy_detail="Nothing was done. Please try again in a few seconds.",
    refused="That is not possible now",
    refused_detail="The payment has moved on, or this method is not offered. Go back and look again.",
    broken="Something went wrong",
    broken_detail="We are looking into it. Before you pay again, open the link once more and see where it stands.",
    wallets={"wechat": "WeChat Pay", "alipay": "Alipay", "unionpay": "UnionPay", "card": "Bank card"},
    methods={"stripe_element": "Bank card", "stripe_alipay": "Alipay", "stripe_wechat": "WeChat Pay"},
    hints={
        "wechat_native": "Open WeChat, tap +, then Scan",
        "wechat_h5": "WeChat opens on this phone",
        "wechat_jsapi": "You pay here in WeChat",
        "alipay_qr": "Open Alipay, then tap Scan",
        "alipay_page": "You sign in on Alipay's own page",
        "alipay_wap": "Alipay opens on this phone",
        "unionpay_qr": "In the UnionPay app, tap Scan",
        "unionpay_front": "On UnionPay's own page",
        "card_page": "On the card processor's own page",
        "stripe_alipay": "You sign in on Alipay's own page",
        "stripe_wechat": "Open WeChat, tap +, then Scan",
    },
    any_hint="The next step tells you what to do",
)

CHINESE = Translations(
    code="zh",
    tag="zh-Hans",
    own_name="中文",
    title="支付",
    skip="跳到支付",
    language="语言",
    sandbox="沙箱环境 · 不会真实扣款",
    order="订单",
    pay_to="收款方",
    amount="金额",
    description="商品",
    order_no="商户订单号",
    reference="支付单号",
    method="支付方式",
    paid_at="支付时间",
    closed_at="关闭时间",
    time_left="剩余时间",
    time_until="支付截止",
    choose="选择支付方式",
    unavailable="暂时无法支付",
    unavailable_detail="目前没有可用的支付方式，商户已收到通知。您没有被扣款。",
    pay="支付",
    retry="重试",
    declined="付款被拒绝",
    failed="支付未成功",
    failed_detail="您没有被扣款。请重试，或换一种支付方式。",
    start_failed="操作未成功，您没有被扣款，请稍后再试。",
    start_unknown="尚未收到答复，本页正在查询结果，请勿重复支付。",
    in_progress="您已选择{wallet}，该订单仍可支付。请先在{wallet}完成支付，或最多等待 {minutes} 分钟后换一种支付方式。",
    in_progress_unknown="您已选择{wallet}，该订单可能仍可支付。请先在{wallet}完成支付，或一分钟后再试。",
    in_progress_back="返回未完成的订单",
    open_in_browser="当前应用无法打开部分钱包。如需更多支付方式，请点右上角菜单，选择在手机浏览器中打开本页。",
    elsewhere="请在浏览器中打开本页",
    renew="二维码或链接已过期",
    renew_detail="请重新获取后付款。如果您刚刚已付款，请勿重复支付，本页会自动显示结果。",
    renew_button="重新获取",
    scan="扫码支付",
    qr_code="本次支付的二维码",
    waiting="等待您完成支付",
    other_method="换一种支付方式",
    play_payer="以付款人身份操作",
    proceed="前往付款",
    proceed_detail="您将在支付机构的页面完成付款，之后会回到本页。",
    proceed_button="继续付款",
    in_app="请在应用内完成付款",
    in_app_detail="请回到发起支付的应用完成付款，本页会自动更新。",
    confirming="正在确认支付结果",
    confirming_detail="正在等待支付渠道的答复，本页会自动更新，请勿重复支付。",
    succeeded="支付成功",
    succeeded_detail="感谢您的支付，现在可以关闭本页。",
    closed="支付已关闭",
    closed_expired="已超过支付时间",
    closed_merchant="商户已取消本次支付",
    closed_detail="本次支付不能再付款。如果您已被扣款，款项会自动退回。",
    back="返回商户",
    going="{seconds} 秒后返回商户",
    stay="留在本页",
    offline="网络已断开，正在重新连接。",
    no_script="未启用 JavaScript，本页每隔几秒自动刷新。",
    footer="支付服务",
    not_found="找不到这笔支付",
    not_found_detail="链接可能不完整或已失效，请返回商户重新下单。",
    busy="请稍候",
    busy_detail="本次操作没有执行，请几秒后再试。",
    refused="当前无法进行此操作",
    refused_detail="支付状态已变化，或不支持该支付方式，请返回查看。",
    broken="出错了",
    broken_detail="我们正在处理。再次付款之前，请重新打开链接查看支付结果。",
    wallets={"wechat": "微信支付", "alipay": "支付宝", "unionpay": "云闪付", "card": "银行卡"},
    methods={"stripe_element": "银行卡", "stripe_alipay": "支付宝", "stripe_wechat": "微信支付"},
    hints={
        "wechat_native": "打开微信，点“+”，选“扫一扫”",
        "wechat_h5": "将在本机打开微信",
        "wechat_jsapi": "在微信内直接付款",
        "alipay_qr": "打开支付宝，点“扫一扫”",
        "alipay_page": "在支付宝的页面登录并付款",
        "alipay_wap": "将在本机打开支付宝",
        "unionpay_qr": "打开云闪付，点“扫一扫”",
        "unionpay_front": "在银联的页面输入卡号并付款",
        "card_page": "在支付机构的页面输入卡号",
        "stripe_alipay": "在支付宝的页面登录并付款",
        "stripe_wechat": "打开微信，点“+”，选“扫一扫”",
    },
    any_hint="按下一步的提示完成支付",
)

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}


def of_request(request: Request) -> Translations:
    """Return the texts in the language of a request."""
    return choose(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def choose(requested: str | None, accept_language: str) -> Translations:
    """Choose the language of a page: the requested one, else the reader's first that is available, else English.

    Args:
        requested: The query's `lang`, if there is one.
        accept_language: The header, any text at all.
    """
    if requested in LANGUAGES:
        return LANGUAGES[requested]
    best, best_weight = ENGLISH, 0.0
    for part in accept_language.split(",")[:20]:
        tag, _, parameter = part.strip().lower().partition(";")
        texts = LANGUAGES.get(tag.strip().partition("-")[0])
        weight = _weight(parameter.strip())
        if texts is not None and weight > best_weight:
            best, best_weight = texts, weight
    return best


def _weight(parameter: str) -> float:
    if not parameter.startswith("q="):
        return 1.0
    try:
        weight = float(parameter[2:])
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
