// What a web chat's server does with the official Node library, whose base URL alone is changed.
// Usage: BASE=http://… ACCOUNT=AC… TOKEN=… ADDRESS=IG… node chat.js; prints what it saw as JSON.
"use strict";
const twilio = require("twilio");

const { ACCOUNT, ADDRESS, BASE, TOKEN } = process.env;

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return {};
}

async function main() {
  const client = twilio(ACCOUNT, TOKEN);
  client.flexApi.baseUrl = BASE;
  client.conversations.baseUrl = BASE;
  const { conversationSid, identity } = await client.flexApi.v2.webChannels.create({
    addressSid: ADDRESS,
    uiVersion: "1.0.0",
    customerFriendlyName: "Ada",
    preEngagementData: JSON.stringify({ friendlyName: "Ada" }),
  });
  const chat = client.conversations.v1.conversations(conversationSid);
  for (let number = 0; number < 5; number += 1) {
    await chat.messages.create({ author: "agent", body: String(number) });
  }
  await chat.participants.create({ identity: "agent" });
  const seen = { identity };
  seen.asc = (await chat.messages.list({ pageSize: 2 })).map((each) => each.body);
  seen.desc = (await chat.messages.list({ pageSize: 2, order: "desc" })).map((each) => each.body);
  const [first, second] = await chat.messages.list({ limit: 2 });
  seen.changed = (await chat.messages(first.sid).update({ body: "zero" })).body;
  await chat.messages(second.sid).remove();
  seen.left = (await chat.messages.list()).map((each) => each.body);
  seen.participants = (await chat.participants.list()).map((each) => each.identity);
  seen.state = (await chat.update({ state: "closed" })).state;
  seen.late = (await failure(chat.messages.create({ body: "late" }))).code;
  await chat.remove();
  seen.gone = (await failure(chat.fetch())).status;
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  process.stderr.write(String(error.stack));
  process.exit(1);
});
