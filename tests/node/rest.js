// What a team's script does with the official Node library, whose base URL alone is changed.
// Usage: BASE=http://… ACCOUNT=AC… TOKEN=… node rest.js; prints what it saw as JSON.
"use strict";
const twilio = require("twilio");

const { ACCOUNT, BASE, TOKEN } = process.env;
const FLOW = {
  friendlyName: "From Node & Büro 🌞",
  chatServiceSid: "IS" + "1".repeat(32),
  channelType: "whatsapp",
};

function client(token) {
  const made = twilio(ACCOUNT, token);
  made.flexApi.baseUrl = BASE;
  made.conversations.baseUrl = BASE;
  return made;
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, moreInfo: error.moreInfo };
  }
  return null;
}

async function main() {
  const { flexFlow } = client(TOKEN).flexApi.v1;
  const { addressConfigurations } = client(TOKEN).conversations.v1;
  const seen = {};

  seen.listed = (await flexFlow.list({ pageSize: 50 })).map((each) => each.sid);
  seen.limited = (await flexFlow.list({ limit: 70 })).length;
  seen.named = (await flexFlow.list({ friendlyName: "Flow 7" })).map((each) => each.friendlyName);
  const second = await (await flexFlow.page({ pageSize: 50 })).nextPage();
  seen.back = (await second.previousPage()).instances.map((each) => each.sid);

  const created = await flexFlow.create({
    ...FLOW,
    contactIdentity: "whatsapp:+15551110001",
    enabled: true,
    integrationType: "task",
    "integration.workspaceSid": "WS" + "1".repeat(32),
    "integration.workflowSid": "WW" + "1".repeat(32),
    "integration.creationOnMessage": true,
    "integration.retryCount": 2,
    longLived: true,
  });
  seen.created = created.toJSON();
  seen.dates = created.dateCreated instanceof Date;
  seen.updated = (await flexFlow(created.sid).update({ enabled: false, friendlyName: "Renamed" })).toJSON();
  seen.fetched = (await flexFlow(created.sid).fetch()).toJSON();
  seen.invalid = await failure(flexFlow.create({ ...FLOW, chatServiceSid: "IS1" }));
  seen.conflict = await failure(
    flexFlow.create({ ...FLOW, channelType: "sms", contactIdentity: "+15550000007" }),
  );
  seen.removed = await flexFlow(created.sid).remove();
  seen.gone = await failure(flexFlow(created.sid).fetch());
  seen.unauthenticated = await failure(client("wrong").flexApi.v1.flexFlow.list());

  const address = await addressConfigurations.create({
    type: "messenger",
    address: "messenger:1234567",
    "autoCreation.enabled": true,
    "autoCreation.type": "webhook",
    "autoCreation.webhookUrl": "https://example.com/in",
    "autoCreation.webhookMethod": "post",
    "autoCreation.webhookFilters": ["onMessageAdded", "onMessageUpdated"],
  });
  seen.address = address.toJSON();
  seen.byAddress = (await addressConfigurations("messenger:1234567").fetch()).sid;
  seen.addressUpdated = (await addressConfigurations(address.sid).update({ friendlyName: "Page" })).friendlyName;
  seen.addresses = (await addressConfigurations.list({ limit: 120 })).length;
  seen.messengers = (await addressConfigurations.list({ type: "messenger" })).map((each) => each.sid);
  seen.addressRemoved = await addressConfigurations("messenger:1234567").remove();
  seen.addressGone = await failure(addressConfigurations(address.sid).fetch());
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
