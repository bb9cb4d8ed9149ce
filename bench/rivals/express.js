// The same in Express with the official middleware, for one fixed target and without a store.
const cluster = require("node:cluster");
const http = require("node:http");
const express = require("express");
const twilio = require("twilio");

const target = new URL(process.env.BENCH_TARGET);
const agent = new http.Agent({ keepAlive: true });

function forward(request, response, next) {
  const outgoing = http.request(
    target,
    { method: "POST", agent, headers: { "Content-Type": request.get("Content-Type"), "Content-Length": request.raw.length } },
    (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => response.status(answer.statusCode).type(answer.headers["content-type"]).send(Buffer.concat(chunks)));
    },
  );
  outgoing.on("error", next);
  outgoing.end(request.raw);
}

function serve() {
  const app = express();
  const keep = (request, _response, buffer) => { request.raw = buffer; };
  app.post(
    "/webhooks/sms",
    express.urlencoded({ extended: false, verify: keep }),
    twilio.webhook(process.env.TWILIO_AUTH_TOKEN, { protocol: "http" }),
    forward,
  );
  const server = app.listen(Number(process.env.BENCH_PORT), "127.0.0.1");
  server.keepAliveTimeout = 60000;
}

const workers = Number(process.env.ROUTER_WORKERS);
if (workers > 1 && cluster.isPrimary) {
  for (let n = 0; n < workers; n += 1) cluster.fork();
} else {
  serve();
}
