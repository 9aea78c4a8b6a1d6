// Receive webhooks with Express. Needs: npm install express
//
// WEBHOOK_SECRET=whsec_… PORT=9000 node express_receiver.mjs
import { createHmac, timingSafeEqual } from "node:crypto";
import express from "express";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const handled = new Set(); // in your system: a table with the event's id as its key

function isGenuine(request) {
  const id = request.get("webhook-id");
  const timestamp = request.get("webhook-timestamp");
  if (!id || !/^\d+$/.test(timestamp ?? "") || Math.abs(Date.now() / 1000 - timestamp) > 300) return false;
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(request.body).digest();
  return (request.get("webhook-signature") ?? "").split(" ").some((signature) => {
    const given = Buffer.from(signature.replace(/^v1,/, ""), "base64");
    return signature.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

const app = express();
// express.raw: the signature is over the bytes as they came, before any JSON parser touches them.
app.post("/hutong", express.raw({ type: "*/*" }), (request, response) => {
  if (!Buffer.isBuffer(request.body) || !isGenuine(request)) return response.sendStatus(400);
  const event = JSON.parse(request.body);
  if (!handled.has(event.id)) {
    handled.add(event.id);
    console.log(event.type, event.data.id);
  }
  response.sendStatus(204);
});
app.listen(process.env.PORT, "127.0.0.1");
