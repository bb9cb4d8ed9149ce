// The display: the texts of a language, and the log of a chat.

export const LOCALES = [
  "en", "es", "pt-BR", "fr", "de", "it", "nl", "pl", "cs", "tr", "ru", "uk", "ar", "he", "fa", "hi", "id", "vi", "th",
  "zh-Hans", "zh-Hant", "ja", "ko",
];

/** Return the locale of the first tag that has one with the same language and script. */
export function localeOf(tags) {
  const full = (tag) => new Intl.Locale(tag).maximize();
  for (const tag of tags) {
    try {
      const { language, script } = full(tag);
      const found = LOCALES.find((own) => full(own).language === language && full(own).script === script);
      if (found) return found;
    } catch {
      // Not a language tag: try the next one.
    }
  }
  return "en";
}

/** Return a language's name in that language. */
export const nameOf = (tag) => new Intl.DisplayNames([tag], { type: "language" }).of(tag);

/** Load a locale; `texts` replace its own. Returns t(key, values). */
export async function words(locale, texts) {
  const answer = await fetch(new URL(`locales/${locale}.json`, import.meta.url));
  const own = { ...(await answer.json()), ...texts };
  const plural = new Intl.PluralRules(locale);
  return (key, values = {}) => {
    const found = own[key] ?? "";
    const text = typeof found === "string" ? found : (found[plural.select(values.count)] ?? found.other);
    return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  };
}

const LINK = /\bhttps?:\/\/[^\s<>"'`{}|\\^]+/gi;

/** Return the text as nodes: links for web addresses, and plain text for the rest. */
export function linked(written) {
  // Bidirectional control characters could make a link look like another address.
  const text = written.replace(/[\u202a-\u202e\u2066-\u2069]/g, "");
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(LINK)) {
    const href = found[0].replace(/[.,;:!?)\]*_~]+$/, "");
    const link = make("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, href);
    // The host is empty if the address is not valid; credentials before the host could mislead the reader.
    if (!link.hostname || link.username || link.password) continue;
    link.title = link.href;
    nodes.push(text.slice(end, found.index), link);
    end = found.index + href.length;
  }
  return [...nodes, text.slice(end)];
}

// -- the log -----------------------------------------------------------------------------------------------------------

export const $ = (id) => document.getElementById(id);

/** Make an element; strings among the children become text nodes. */
export function make(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Return a time in seconds, formatted for a locale. */
export const seconds = (locale, milliseconds) => {
  const unit = { style: "unit", unit: "second", unitDisplay: "long" };
  return Math.ceil(milliseconds / 1000).toLocaleString(locale, unit);
};

/** Replace the content of a node, unless its text is the same. */
function fill(node, content) {
  const made = make("div", {}, ...content);
  if (node.textContent !== made.textContent) node.replaceChildren(...made.childNodes);
}

/** Return a function that draws a chat with the texts `t` of a locale. */
export function drawing(chat, t, locale) {
  const log = $("log");
  const first = log.children[1];
  const drawn = new Map();
  const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
  const calendar = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });

  // `system` is Twilio's name for messages without an author.
  const called = (author) => (author === "system" ? t("them") : author);

  function state(message, last) {
    if (message.failed) {
      const again = make("button", { textContent: t("retry"), onclick: () => chat.resend([message]) });
      return [t(message.failed), " ", again];
    }
    if (message.until) return [t("wait", { time: seconds(locale, message.until - Date.now()) })];
    if (message.id) return [t("sending")];
    return last ? [t(message.index <= chat.theirs ? "read" : "sent")] : [];
  }

  function draw() {
    const fromEnd = log.scrollHeight - log.scrollTop;
    const atEnd = fromEnd < log.clientHeight + 40;
    const last = chat.messages.findLast(({ own }) => own);
    let before = first;
    let author, day, written;
    first.previousElementSibling.hidden = !chat.more;
    first.hidden = chat.more;
    for (const message of [...chat.messages, ...chat.waiting]) {
      const own = message.own ?? true;
      const key = message.client_message_id ?? message.id ?? message.sid;
      let node = drawn.get(key);
      if (!node) {
        const part = (className) => make("div", { className });
        node = make("div", { className: `message ${own ? "own" : ""}` }, part("by"), part("text"), part("state"));
        node.children[1].dir = "auto";
        drawn.set(key, node);
        written ||= own;
      }
      if (before.nextElementSibling !== node) before.after(node);
      before = node;
      const date = new Date(message.date_created ?? message.date);
      const today = calendar.format(date);
      const name = own ? t("you") : called(message.author);
      const head = day !== today ? [today, name, clock.format(date)] : author !== name ? [name, clock.format(date)] : [];
      fill(node.firstChild, head.flatMap((part, at) => [at ? " · " : "", make("bdi", {}, part)]));
      fill(node.children[1], linked(message.body));
      fill(node.lastChild, state(message, message === last));
      [author, day] = [name, today];
    }
    while (before.nextSibling) before.nextSibling.remove();
    $("typing").textContent =
      chat.typing?.until > Date.now() ? t("typing", { name: called(chat.typing.author) }) : "";
    if (atEnd || written) log.scrollTop = log.scrollHeight;
    else if (log.scrollTop < 40) log.scrollTop = log.scrollHeight - fromEnd;
  }

  // Screen readers do not read out the earlier messages.
  log.ariaLive = "off";
  while (first.nextSibling) first.nextSibling.remove();
  setTimeout(() => (log.ariaLive = "polite"));
  return draw;
}
