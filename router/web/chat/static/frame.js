// The chat's frame, or the test page: connects texts, form and chat, and exchanges messages with the host's page.

import { Chat, FAULTS, LONGEST } from "./chat.js";
import { call, keep, pause } from "./router.js";
import { $, LOCALES, drawing, localeOf, make, nameOf, seconds, words } from "./view.js";

const root = document.documentElement;
const { query, start, framed } = document.body.dataset;
const dark = matchMedia("(prefers-color-scheme: dark)");
const COMPLETE = { friendlyName: "name", email: "email", phone: "tel" };

let options = document.body.dataset;
let host, kept, place, chat, t, locale, draw, unread;
let shown = !framed;
let asking = false;
let fresh = false;
let trouble = "";

const tell = (message) => host && parent.postMessage(message, host);
const chosen = () => kept.get("language") || options.lang;

// -- texts and colours -------------------------------------------------------------------------------------------------

/** Choose from a text in several languages. */
const inWords = (texts) => texts[locale] ?? texts[locale.slice(0, 2)] ?? texts.en ?? Object.values(texts)[0];

function colour() {
  const { theme, variables } = options;
  const accent = theme?.overrides?.backgroundColors?.colorBackgroundPrimary ?? variables?.accent;
  const set = { ...variables, accent };
  const light = theme?.isLight ?? { light: true, dark: false }[theme] ?? !dark.matches;
  root.dataset.theme = light ? "light" : "dark";
  for (const key in set) if (set[key]) root.style.setProperty(`--${key}`, set[key]);
  const { backgroundColor } = getComputedStyle($("new"));
  const [red, green, blue] = backgroundColor.match(/[\d.]+/g);
  // Text on the accent colour is black or white, whichever has more contrast.
  const on = set["on-accent"] || (red * 0.3 + green * 0.59 + blue * 0.11 > 120 ? "#000" : "#fff");
  root.style.setProperty("--on-accent", on);
  tell({ colours: { accent: backgroundColor, "on-accent": on } });
}

async function speak() {
  const { texts } = options;
  locale = localeOf([chosen(), place.language, options.pageLang, ...navigator.languages]);
  t = await words(locale, typeof texts === "string" ? JSON.parse(texts) : texts);
  root.lang = locale;
  root.dir = /^(ar|fa|he)/.test(locale) ? "rtl" : "ltr";
  document.title = t("title");
  const each = (name, does) => document.querySelectorAll(name).forEach(does);
  each("[data-t]", (node) => (node.textContent = t(node.dataset.t)));
  each("[data-name]", (node) => (node.ariaLabel = node.title = node.placeholder = t(node.dataset.name)));
  each(".greeting", (node) => (node.textContent = inWords(place.greeting) ?? ""));
  const tags = place.languages.length > 1 ? place.languages : LOCALES;
  $("language").replaceChildren(...tags.map((tag) => new Option(nameOf(tag), tag)));
  $("language").value = tags.find((tag) => tag === chosen()) ?? tags.find((tag) => localeOf([tag]) === locale);
  $("fields").replaceChildren(...place.form.map(field));
  chat.language = chosen() || null;
  draw = drawing(chat, t, locale);
  changed();
  tell({ words: { title: t("title"), open: t("open"), close: t("close") } });
}

// -- the form ----------------------------------------------------------------------------------------------------------

const inputs = () => [...$("fields").querySelectorAll("[name]")];
const entered = () => Object.fromEntries(new FormData($("form")));

function field({ name, type, required, max, label, options: choices }) {
  const value = entered()[name] ?? options.form?.[name] ?? "";
  const many = /select|textarea/.test(type);
  const input = make(many ? type : "input", { name, required, autocomplete: COMPLETE[name] ?? "" });
  if (type === "select") input.append(new Option(t("choose"), ""), ...choices.map((choice) => new Option(choice)));
  else input.maxLength = max ?? 1000;
  if (!many) input.type = type;
  input.value = value;
  return make("label", {}, inWords(label) ?? name, required ? "" : ` (${t("optional")})`, input);
}

/** Show the form, unless it has no fields or the host's page has filled them in. */
function ask() {
  asking = place.form.length > 0 && !("skipForm" in options && inputs().every((input) => input.checkValidity()));
  chat.form = entered();
}

async function begin(event) {
  event?.preventDefault();
  const fault = (text, input) => {
    if (asking) $("fault").textContent = text;
    else tells(text);
    if (input) input.ariaInvalid = "true";
    input?.focus();
  };
  inputs().forEach((input) => (input.ariaInvalid = null));
  const wrong = inputs().find((input) => !input.checkValidity());
  if (wrong) return fault(t(wrong.validity.typeMismatch ? "email" : "required"), wrong);
  try {
    await chat.begin(entered(), fresh);
    fault("");
    asking = fresh = false;
    changed();
    focus();
  } catch ({ status, wait, message }) {
    const refused = status === 400 && inputs().find(({ name }) => message.startsWith(`${name}:`));
    const key = refused ? "required" : (FAULTS[status] ?? "failed");
    fault(t(key, { time: seconds(locale, wait) }), refused);
  }
}

// -- display and actions -----------------------------------------------------------------------------------------------

function changed() {
  if (!draw) return;
  const show = (id, shows) => ($(id).hidden = !shows);
  const closed = chat.state === "closed";
  show("form", asking);
  show("talk", !asking);
  show("over", closed);
  show("write", !closed);
  show("end", chat.state === "active");
  show("download", chat.session && options.transcript?.downloadEnabled !== false);
  show("close", host);
  const note = !navigator.onLine ? "offline" : !chat.up ? "connecting" : kept.blocked ? "blocked" : "";
  $("note").textContent = trouble || t(place.fault ?? note);
  draw();
  if (shown && !asking && !document.hidden) chat.look();
  if (unread === chat.unread) return;
  unread = chat.unread;
  const badge = unread && unread.toLocaleString(locale);
  tell({ words: { badge: badge || "", unread: unread && t("unread", { count: unread }) }, event: "unread", detail: unread });
}

const focus = () => (asking ? inputs()[0] : $(chat.state === "closed" ? "new" : "body")).focus();

function write(text) {
  $("body").value = text;
  kept.set("draft", text);
}

function send(event) {
  event.preventDefault();
  const body = $("body").value.trim();
  if (new TextEncoder().encode(body).length > LONGEST) return tells(t("long"));
  if (!body) return;
  trouble = "";
  write("");
  chat.send(body);
}

async function download() {
  const href = URL.createObjectURL(await (await chat.ask("transcript.txt")).blob());
  // The object URL is released when the page is closed.
  make("a", { href, download: "chat.txt" }).click();
}

function shut() {
  $("menu").open = false;
  $("menu").firstElementChild.focus();
}

function tells(text) {
  trouble = text;
  changed();
}

const failed = () => tells(t("failed"));

function listen() {
  const on = (id, event, does) => $(id).addEventListener(event, does);
  on("form", "submit", begin);
  on("write", "submit", send);
  on("body", "input", () => {
    kept.set("draft", $("body").value);
    chat.types();
  });
  on("body", "keydown", (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && send(event));
  on("older", "click", () => chat.older().catch(failed));
  on("close", "click", () => tell({ close: true }));
  on("download", "click", () => download().catch(failed));
  on("end", "click", () => {
    $("sure").returnValue = "";
    $("sure").showModal();
  });
  on("sure", "close", () => $("sure").returnValue && chat.end().catch(failed));
  on("new", "click", () => {
    fresh = true;
    ask();
    if (asking) changed();
    else begin();
    focus();
  });
  on("language", "change", ({ target }) => {
    kept.set("language", target.value);
    speak();
    shut();
  });
  on("menu", "click", ({ target }) => target.matches("button") && shut());
  on("talk", "focusin", () => ($("menu").open = false));
  on("chat", "keydown", ({ key }) => {
    if (key === "Escape" && !$("sure").open) $("menu").open ? shut() : tell({ close: true });
  });
  const wake = () => {
    chat.line.wake();
    if (navigator.onLine) chat.resend();
    changed();
  };
  for (const event of ["online", "offline", "focus"]) addEventListener(event, wake);
  document.addEventListener("visibilitychange", () => document.hidden || wake());
  dark.addEventListener("change", colour);
}

// -- start -------------------------------------------------------------------------------------------------------------

/** Wait for the loader's first message; later messages open and close the chat. */
const greeting = () =>
  new Promise((resolve) => {
    addEventListener("message", ({ source, origin, data }) => {
      if (source !== parent || (host && origin !== host)) return;
      if (data?.type === "hello") {
        host = origin;
        options = data.options;
        resolve();
      } else if (data?.type === "shown") {
        shown = data.shown;
        if (draw) changed();
        if (draw && data.focus) focus();
      }
    });
  });

async function find() {
  try {
    return await call(`address?${query}`);
  } catch ({ passing, status }) {
    if (!passing) return { form: [], languages: [], greeting: {}, fault: FAULTS[status] ?? "failed" };
    await pause({}, 3000);
    return find();
  }
}

[place] = await Promise.all([find(), framed && greeting()]);
const { identity, identityHash: identity_hash } = options;
// The storage is separate for each identity, so another user of this browser does not see this chat.
kept = keep(`chat:${query} ${identity_hash ?? ""}`);
chat = new Chat({ ...JSON.parse(start), origin: host ?? null, identity, identity_hash }, kept, {
  changed,
  tell: (event, detail) => tell({ event, detail, began: event === "began" }),
  form() {
    asking = true;
    changed();
  },
  restore: (text) => write([text, $("body").value].join("\n").trim()),
  restart: () => location.reload(),
});
colour();
await speak();
$("chat").hidden = false;
$("plain")?.remove();
if (!place.fault) {
  listen();
  write(kept.get("draft") ?? "");
  if (!chat.session) ask();
  changed();
  if (shown) focus();
  tell({ event: "ready" });
  await chat.resume();
  changed();
} else $("talk").hidden = true;
