// Follows one payment while its page is open. The server decides what is shown; this script polls, shows the answer and
// counts down. Text is inserted as text, never as markup.

const VISIBLE_MS = 1500;
const HIDDEN_MS = 3000;
const SLOWEST_MS = 30000;
const FAILING_MS = 15000;
const TIMEOUT_MS = 10000;
const GOING_S = 10;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WAITING = ["scan", "renew", "next_action", "in_app", "confirm"];
const ENDS = ["succeeded", "closed"];

const { base, token } = document.body.dataset;
const language = document.documentElement.lang; // answers come in the language of the page
const find = (selector) => document.querySelector(selector);
const panels = [...document.querySelectorAll("[data-phase]")];
const form = find("[data-choose]");
const renewal = find("[data-renew]");
const button = form.querySelector("button");
const pageTitle = document.title;

let etag = document.body.dataset.etag;
let final = document.body.dataset.final === "true";
let phase = panels.find((panel) => !panel.hidden).dataset.phase;
let state = null;
let changing = false; // the payer is choosing another method while an attempt runs
let paying = false;
let asking = false;
let failures = 0;
let quiet = 0; // polls since nobody looked, or nothing more can be paid
let round = 0; // counts payments started, so that an older answer never overwrites a newer one
let timer;

// ---- showing the state

function link(selector, address) {
  for (const anchor of document.querySelectorAll(selector)) {
    anchor.hidden = !address;
    if (address && /^https?:\/\//i.test(address)) anchor.href = address;
    else anchor.removeAttribute("href");
  }
}

function show(next) {
  const before = panels.find((panel) => panel.dataset.phase === phase);
  phase = changing && WAITING.includes(next) ? "choose" : next;
  const after = panels.find((panel) => panel.dataset.phase === phase);
  if (before === after) return;
  const hadFocus = before.contains(document.activeElement);
  for (const panel of panels) panel.hidden = panel !== after;
  find("[data-live]").textContent = after.dataset.announce;
  document.title = after.dataset.title ? `${after.dataset.title} · ${pageTitle}` : pageTitle;
  if (hadFocus) after.querySelector("[tabindex]").focus();
  if (phase === "succeeded") go();
}

function follow(next) {
  // The methods are part of the page: one without any is loaded again once there are some.
  if (phase === "unavailable" && next.phase === "choose") return location.reload();
  if (next.phase === "choose" || next.final) changing = false;
  state = next;
  final = next.final;

  const chosen = [...form.querySelectorAll("[name=method]")].find((radio) => radio.value === next.method);
  for (const label of document.querySelectorAll("[data-method-label]")) {
    label.textContent = chosen?.dataset.label ?? next.method ?? "";
  }
  find("[data-method-hint]").textContent = chosen?.dataset.hint ?? "";
  const mark = chosen?.closest("label").querySelector("svg");
  for (const place of document.querySelectorAll("[data-method-mark]")) {
    place.replaceChildren(...(mark ? [mark.cloneNode(true)] : []));
  }

  renewal.querySelector("[name=method]").value = next.method ?? "";

  const picture = find("[data-qr]");
  picture.hidden = !next.qr;
  if (!next.qr) picture.removeAttribute("src");
  else if (picture.getAttribute("src") !== next.qr) picture.src = next.qr;

  const failed = next.failure !== null; // a failure may have no text
  find("[data-failure]").hidden = !failed;
  find("[data-failure-message]").textContent = next.failure ?? "";
  find("[data-again]").hidden = !failed;
  find("[data-first]").hidden = failed;
  find("[data-declined]").hidden = !next.declined;
  find("[data-failed]").hidden = next.declined;
  find("[data-time-left]").hidden = ENDS.includes(next.phase);
  if (next.closed) find("[data-closed]").textContent = next.closed;
  keep(next.receipt);
  link("[data-payer]", next.sandbox_payer_url);
  link("[data-return]", next.return_url);
  link("[data-cancel]", next.cancel_url);
  const leaves = WAITING.includes(next.phase) || next.phase === "choose"; // other panels have a button for it
  link("[data-leave]", leaves ? next.cancel_url : null);
  link("[data-next-action]", next.next_action?.kind === "redirect" ? next.next_action.url : null);
  show(next.phase);
  bridge(next.bridge);
  needForm(next.next_action);
}

// What a payer may want to keep of a finished payment, with the time in the payer's own time zone.
function keep(receipt) {
  for (const list of document.querySelectorAll("[data-receipt]")) {
    list.hidden = !receipt;
    if (!receipt) continue;
    const [at, method] = [list.querySelector("time"), list.querySelector("[data-receipt-method]")];
    at.dateTime = receipt.at;
    method.hidden = !receipt.method;
    method.querySelector("dd").textContent = receipt.method ?? "";
  }
  localTimes();
}

function localTimes() {
  const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  for (const at of document.querySelectorAll("time[datetime]")) at.textContent = format.format(new Date(at.dateTime));
}

// ---- back to the merchant, once for each payment, so that the browser's Back leads to a page that stays

function go() {
  const [place, address, key] = [find("[data-going]"), find("[data-return]").href, `returned ${base}`];
  find("[data-may-close]").hidden = Boolean(address);
  if (!address || !place.hidden || sessionStorage.getItem(key)) return;
  let rest = GOING_S;
  const tick = () => {
    place.firstElementChild.textContent = place.dataset.going.replace("{seconds}", rest);
    if (rest > 0) return void (rest -= document.hidden ? 0 : 1);
    stop();
    sessionStorage.setItem(key, "yes");
    location.assign(address);
  };
  const ticking = setInterval(tick, 1000);
  const stop = () => {
    clearInterval(ticking);
    place.hidden = true;
  };
  place.hidden = false;
  place.querySelector("button").addEventListener("click", () => {
    sessionStorage.setItem(key, "stays");
    stop();
  });
  tick();
}

// WeChat's browser asks for the password in a window of its own. What it answers proves nothing, so the server is asked.
let bridged = null;

function bridge(parameters) {
  find("[data-bridge]").hidden = !parameters;
  const text = JSON.stringify(parameters ?? null);
  if (!parameters || bridged === text) return;
  bridged = text;
  if (window.WeixinJSBridge) openWallet();
  else document.addEventListener("WeixinJSBridgeReady", openWallet, { once: true });
}

function openWallet() {
  window.WeixinJSBridge?.invoke("getBrandWCPayRequest", JSON.parse(bridged), soon);
}

// A form may be posted to the channel only by a page whose policy names the channel: such a page is loaded again.
function needForm(action) {
  const made = find("[data-next-action-form]")?.dataset.nextActionForm;
  if (action?.kind === "form" && action.url !== made && !changing) location.reload();
}

// ---- polling

function wait() {
  let ms = VISIBLE_MS;
  if (document.hidden || left() <= 0) ms = Math.min(HIDDEN_MS * 2 ** quiet++, SLOWEST_MS);
  if (failures) ms = Math.max(ms, Math.min(VISIBLE_MS * 2 ** failures, FAILING_MS));
  return ms * (0.9 + Math.random() * 0.2); // so that pages opened together do not poll together
}

function schedule(ms = wait()) {
  clearTimeout(timer);
  if (!final) timer = setTimeout(ask, ms);
}

function reached(ok) {
  failures = ok ? 0 : failures + 1;
  find("[data-offline]").hidden = failures < 2;
}

async function ask() {
  if (asking || paying) return;
  asking = true;
  const asked = round;
  try {
    const answer = await fetch(`${base}/status`, {
      headers: { "Accept-Language": language, "X-Checkout-Token": token, "If-None-Match": etag },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const next = answer.ok ? await answer.json() : null;
    reached(answer.ok || answer.status === 304);
    if (next && asked === round) {
      etag = answer.headers.get("ETag");
      follow(next);
    }
  } catch {
    reached(false);
  } finally {
    asking = false;
    schedule();
  }
}

function soon() {
  quiet = 0;
  schedule(0);
}

// ---- paying

function busy(now) {
  paying = now;
  button.setAttribute("aria-disabled", String(now));
}

async function pay(event) {
  event.preventDefault();
  const method = new FormData(event.currentTarget).get("method");
  if (paying || !method) return;
  busy(true);
  round += 1;
  find("[data-start-failed]").hidden = true;
  find("[data-start-unknown]").hidden = true;
  find("[data-in-progress]").hidden = true;
  let [answered, inProgress] = [false, null];
  try {
    const answer = await fetch(`${base}/attempts`, {
      method: "POST",
      headers: { "Accept-Language": language, "Content-Type": "application/json", "X-Checkout-Token": token },
      body: JSON.stringify({ method }),
      signal: AbortSignal.timeout(3 * TIMEOUT_MS),
    });
    answered = true;
    if (answer.status === 409) inProgress = (await answer.json()).text;
    if (!answer.ok) throw new Error(String(answer.status));
    etag = answer.headers.get("ETag");
    changing = false;
    const next = await answer.json();
    if (next.redirect) return location.assign(next.redirect); // the channel tells who the payer is, and leads back here
    follow(next);
    if (next.next_action?.kind === "redirect") location.assign(next.next_action.url);
    else schedule();
  } catch {
    // Without an answer, only the server knows whether an attempt runs: poll it before anything else.
    find(inProgress ? "[data-in-progress]" : answered ? "[data-start-failed]" : "[data-start-unknown]").hidden = false;
    find("[data-in-progress-text]").textContent = inProgress ?? "";
    if (answered) {
      changing = true; // the notice is beside the methods
      show(state?.phase ?? phase);
    }
    soon();
  } finally {
    busy(false);
  }
}

// ---- the time left, by the server's clock

const ahead = Number(document.body.dataset.serverTime) - Date.now();
const expiresAt = Number(document.body.dataset.expiresAt);
const left = () => Math.max(0, expiresAt - ahead - Date.now());

// Below an hour a clock; before that the end, in the payer's own time zone.
function count() {
  const rest = left();
  const seconds = Math.ceil(rest / 1000);
  const isClock = rest < HOUR_MS;
  const two = (number) => String(number).padStart(2, "0");
  const clock = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
  const text = isClock ? clock : deadline.format(new Date(expiresAt));
  const place = find("[data-countdown]");
  if (place.textContent !== text) place.textContent = text;
  place.parentElement.classList.toggle("soon", seconds <= 60);
  find("[data-left]").hidden = !isClock;
  find("[data-until]").hidden = isClock;
  if (!final && rest > 0) setTimeout(count, isClock ? rest % 1000 || 1000 : Math.min(rest - HOUR_MS + 1, DAY_MS));
}

const deadline = new Intl.DateTimeFormat(language, {
  year: left() > 180 * DAY_MS ? "numeric" : undefined,
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

form.addEventListener("submit", pay);
renewal.addEventListener("submit", pay);
find("[data-bridge]").addEventListener("click", openWallet);
for (const change of document.querySelectorAll("[data-change]")) {
  change.addEventListener("click", (event) => {
    event.preventDefault();
    changing = true;
    show(state?.phase ?? phase);
  });
}
document.addEventListener("visibilitychange", () => document.hidden || soon());
addEventListener("online", soon);
addEventListener("pageshow", (event) => event.persisted && soon());
if (phase === "in_app") {
  etag = ""; // what the wallet's browser is handed is in the answer alone
  soon();
}
count();
localTimes();
if (phase === "succeeded") go();
if (phase !== "in_app") schedule();
