// A till. The key stays in this module's memory. The platform alone says what has become of a payment: the page asks
// until it does. Text is inserted as text, never as markup.

const POLL_MS = 1000;
const SLOW_MS = 5000;
const SHOWN_MAX = 8;
const DIGITS_MAX = 9;
const NUMBERS = "till-";
const CODES = [
  ["wechat", /^1[0-5][0-9]{16}$/], // https://pay.weixin.qq.com/wiki/doc/api/micropay.php?chapter=5_1
  ["alipay", /^(?:2[5-9]|30)[0-9]{14,22}$/], // https://opendocs.alipay.com/open/194/106039/
  ["unionpay", /^62[0-9]{17}$/], // https://cnblogs.com/zhangmo/p/13578409.html
];

const texts = JSON.parse(document.body.dataset.texts);
const language = document.body.dataset.lang;
const byId = (id) => document.getElementById(id);

let key = "";
let typed = ""; // the amount, as typed
let payment = null; // the payment at the till, as last heard
let order = null; // what was sent to make it, until that is answered
let wallet = "";
let canceling = false;
let busy = false;
let timer;
let camera = null;
const last = new Map();

// ---- the API

async function call(method, path, body, idempotencyKey) {
  const headers = { Authorization: `Bearer ${key}` };
  if (body) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const document = await answer.json();
  return { status: answer.status, ok: answer.ok, document };
}

// ---- money

function minor() {
  const [whole, fraction = ""] = typed.split(".");
  return Number(whole || 0) * 100 + Number((fraction + "00").slice(0, 2));
}

function money(amountMinor) {
  const digits = String(amountMinor).padStart(3, "0");
  return `¥${digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ",")}.${digits.slice(-2)}`;
}

function type(name) {
  if (payment || order) return;
  if (name === "Backspace") typed = typed.slice(0, -1);
  else if (name === "." && !typed.includes(".")) typed = `${typed || "0"}.`;
  else if (/^[0-9]$/.test(name) && !/\.[0-9]{2}$/.test(typed) && typed.length < DIGITS_MAX) {
    typed = typed === "0" ? name : typed + name;
  }
  byId("amount").textContent = money(minor());
}

// ---- what is shown

function say(text, values = {}) {
  return texts[text].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function show(state, detail) {
  const values = { wallet: texts[`wallet_${wallet}`] ?? "" };
  byId("status").dataset.state = state;
  byId("state").textContent = say(state, values);
  byId("detail").textContent = detail ?? (texts[`${state}_detail`] ? say(`${state}_detail`, values) : "");
  const scanning = ["ready", "declined", "over"].includes(state);
  const ended = ["succeeded", "canceled"].includes(state);
  byId("scan").hidden = !scanning;
  byId("cancel").hidden = ended || state === "ready" || state === "canceling";
  byId("next").hidden = !ended;
  if (scanning) byId("code").focus();
  if (ended) byId("next").focus();
}

function state(payment, canceling) {
  if (payment.status === "succeeded") return "succeeded";
  if (payment.status === "closed") return "canceled";
  if (canceling || payment.closing) return "canceling";
  const attempt = payment.attempts.at(-1);
  if (payment.status === "requires_payment") return attempt?.state === "closed" ? "over" : "declined";
  if (!attempt) return "waiting";
  const asked = attempt.state === "submitted" || attempt.code === "payer_action_required";
  return asked ? "paying" : "waiting";
}

function follow(heard) {
  payment = heard;
  const now = state(payment, canceling);
  const attempt = payment.attempts.at(-1);
  const text = now === "declined" ? attempt?.text?.[language] : undefined;
  show(now, now === "succeeded" ? money(payment.amount_minor) : text);
  keep(payment, now);
  clearTimeout(timer);
  if (["waiting", "paying", "canceling"].includes(now)) timer = setTimeout(ask, POLL_MS);
}

async function ask() {
  const { id } = payment;
  try {
    const heard = await call("GET", `/v1/payments/${id}`);
    if (payment?.id !== id) return;
    if (!heard.ok) throw new Error(String(heard.status));
    follow(heard.document);
  } catch {
    byId("detail").textContent = texts.offline;
    timer = setTimeout(ask, SLOW_MS);
  }
}

function keep(shown, now) {
  last.delete(shown.id);
  last.set(shown.id, { at: shown.created_at, amount: shown.amount_minor, now });
  const rows = [...last.values()].slice(-SHOWN_MAX).reverse();
  byId("last").replaceChildren(
    ...rows.map((row) => {
      const item = document.createElement("li");
      const clock = new Date(row.at).toLocaleTimeString(document.documentElement.lang);
      for (const text of [clock, money(row.amount), say(row.now, { wallet: "" })]) {
        item.append(Object.assign(document.createElement("span"), { textContent: text }));
      }
      return item;
    }),
  );
  byId("none").hidden = rows.length > 0;
}

// ---- what the cashier does

async function take(code) {
  const found = CODES.find(([, pattern]) => pattern.test(code));
  byId("code").value = "";
  byId("problem").textContent = "";
  if (busy) return;
  if (!found || minor() <= 0) {
    byId("problem").textContent = found ? texts.no_amount : texts.bad_code;
    return;
  }
  busy = true;
  wallet = found[0];
  const choice = { method: `${wallet}_code`, payer: { auth_code: code } };
  try {
    await (payment ? again(choice) : first(choice));
  } finally {
    busy = false;
  }
}

async function first(choice) {
  const number = `${NUMBERS}${Date.now()}-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
  order = {
    merchant_order_no: number,
    amount_minor: minor(),
    currency: "CNY",
    subject: texts.subject,
    ...choice,
  };
  show("waiting");
  await send(() => call("POST", "/v1/payments", order, number), "ready");
  order = null;
}

async function again(choice) {
  show("waiting");
  await send(() => call("POST", `/v1/payments/${payment.id}/attempts`, choice), "declined");
}

// Sends until there is an answer: the platform takes the same order, or an attempt that runs, once. Only a refusal ends
// it, for what was sent may have arrived.
async function send(post, before) {
  for (;;) {
    try {
      const heard = await post();
      if (heard.ok) return follow(heard.document);
      if (heard.status < 500 && heard.document.code !== "idempotency_key_in_flight") {
        show(before);
        byId("problem").textContent = heard.document.detail ?? String(heard.status);
        if (payment) timer = setTimeout(ask, POLL_MS);
        return undefined;
      }
    } catch {
      // no answer: below
    }
    byId("detail").textContent = texts.offline;
    await new Promise((resolve) => setTimeout(resolve, SLOW_MS / 2));
  }
}

async function cancel() {
  if (!payment) return;
  canceling = true;
  clearTimeout(timer);
  show("canceling");
  try {
    const heard = await call("POST", `/v1/payments/${payment.id}/close`);
    if (heard.ok) return follow(heard.document);
  } catch {
    // the next answer tells
  }
  timer = setTimeout(ask, 0);
  return undefined;
}

function next() {
  payment = order = null;
  canceling = false;
  typed = "";
  byId("amount").textContent = money(0);
  show("ready");
}

async function connect(event) {
  event.preventDefault();
  key = byId("key").value.trim();
  const problem = byId("connect-problem");
  try {
    const heard = await call("GET", "/v1/payments?limit=20");
    problem.textContent = heard.ok ? "" : heard.status < 500 ? texts.bad_key : texts.offline;
    if (!heard.ok) return;
    const earlier = heard.document.data.filter((shown) => shown.merchant_order_no.startsWith(NUMBERS));
    for (const shown of earlier.reverse()) keep(shown, state(shown, false));
  } catch {
    problem.textContent = /^[\x21-\x7e]*$/.test(key) ? texts.offline : texts.bad_key;
    return;
  }
  byId("key").value = "";
  byId("connect").hidden = true;
  byId("till").hidden = false;
  next();
}

// ---- the camera

async function scanWithCamera() {
  if (camera) return stopCamera();
  const video = byId("video");
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.srcObject = camera;
    video.hidden = false;
    byId("camera").textContent = texts.stop_camera;
    await video.play();
    const detector = new BarcodeDetector({ formats: ["qr_code", "code_128"] });
    while (camera) {
      const [found] = await detector.detect(video);
      if (found) {
        stopCamera();
        return take(found.rawValue.trim());
      }
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  } catch {
    stopCamera();
    byId("problem").textContent = texts.no_camera;
  }
  return undefined;
}

function stopCamera() {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = null;
  byId("video").hidden = true;
  byId("camera").textContent = texts.camera;
}

byId("connect").addEventListener("submit", connect);
byId("pad").addEventListener("click", (event) => {
  const { key: name } = event.target.dataset;
  if (name) type(name);
});
byId("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  take(byId("code").value.trim());
});
byId("cancel").addEventListener("click", cancel);
byId("next").addEventListener("click", next);
byId("camera").hidden = !("BarcodeDetector" in window && navigator.mediaDevices);
byId("camera").addEventListener("click", scanWithCamera);
