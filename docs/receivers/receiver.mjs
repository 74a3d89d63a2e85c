// A receiver of Zoho CRM notifications: Node.js 18 or later, nothing else.
//
// CHANNEL_TOKENS: the tokens that are accepted, with commas between them. LISTEN: host:port.

import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const hash = (text) => createHash("sha256").update(text).digest();
const tokens = process.env.CHANNEL_TOKENS.split(",").map(hash);
const BODY_MAX = 1 << 20;
const seen = new Set(); // in production: a unique key of your queue's table, kept for some days

// Compares with every token, so that the time it takes tells nothing.
const accepted = (token) =>
  typeof token === "string" && tokens.filter((known) => timingSafeEqual(hash(token), known)).length > 0;

// The same delivery twice has the same key.
const key = ({ channel_id, module, operation, server_time, ids }) =>
  JSON.stringify([channel_id, module, operation, server_time, ids]);

// It was missed, and channelkeeper hands it over later: fetch the record on an update.
const recovered = ({ query_params }) => query_params?.channelkeeper_recovered !== undefined;

const server = createServer(async (request, response) => {
  const answer = (status) => response.writeHead(status, { "Content-Length": 0 }).end();
  const chunks = [];
  let length = 0;
  try {
    for await (const chunk of request) {
      length += chunk.length;
      if (length > BODY_MAX) return answer(413);
      chunks.push(chunk);
    }
  } catch {
    return; // the sender went away
  }
  let delivery;
  try {
    delivery = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return answer(400);
  }
  if (!accepted(delivery?.token)) return answer(401);
  if (delivery.channelkeeper_canary) return answer(200); // a test of channelkeeper's own: nothing happened
  if (!seen.has(key(delivery))) {
    seen.add(key(delivery));
    // In production: put it into a durable queue here, and answer only when it is there.
    console.log(recovered(delivery) ? "take recovered" : "take", delivery.module, delivery.operation, ...delivery.ids);
  }
  return answer(200);
});
server.requestTimeout = 10_000;

const [, host, port] = (process.env.LISTEN ?? "127.0.0.1:8080").match(/^(.*):(\d+)$/);
server.listen(Number(port), host, () => {
  console.log(`listening on http://${server.address().address}:${server.address().port}`);
});
