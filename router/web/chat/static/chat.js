// The chat of a visitor: its messages, the unsent ones, and the events of the other side.

import { Line, ask, call, pause } from "./router.js";

const TRIES = 6;
const TYPING = 6000;
// The text keys for errors of the router, by status.
export const FAULTS = { 403: "forbidden", 404: "unavailable", 413: "long", 429: "waitStart" };
export const LONGEST = 32 * 1024;

/** An id of 128 random bits; crypto.randomUUID exists only on https. */
const random = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
const highest = (messages) => Math.max(-1, ...messages.map(({ index }) => index));

export class Chat {
  /**
   * @param {object} start the body that starts every session: address or flow, origin, identity
   * @param {object} kept the chat's data in the browser's storage
   * @param {object} ends callbacks: changed(): draw again; tell(event, detail): for the host's page; form(): the router
   *   requires the fields; restore(text): unsent text; restart(): another tab began a new chat
   */
  constructor(start, kept, ends) {
    Object.assign(this, { start, kept, ends, state: "", up: true, form: {}, typed: 0 });
    this.client = kept.get("client") ?? random();
    kept.set("client", this.client);
    this.session = kept.get("session");
    this.waiting = kept.get("waiting") ?? [];
    this.line = new Line(kept.blocked ? "" : kept.name, {
      open: (signal, polls) =>
        polls
          ? this.ask(`events?wait=20&after=${this.cursor}`, { signal })
          : this.ask("events", { signal, headers: { "Last-Event-ID": this.cursor } }),
      take: (event, data, passed) => this.take(event, data, passed),
      left: () => this.catchUp(),
      reached: (up) => {
        if (up && !this.up) this.resend();
        this.up = up;
        ends.changed();
      },
      lost: ({ status }) => (status === 401 ? this.forget() : this.close()),
    });
    this.reset();
  }

  reset() {
    Object.assign(this, { messages: [], cursor: -1, seen: -1, theirs: -1, more: false, typing: null });
  }

  get unread() {
    return this.messages.filter(({ own, index }) => !own && index > this.seen).length;
  }

  // -- the session ---------------------------------------------------------------------------------------------------

  /** Resume the chat in the browser's storage, if any. */
  async resume() {
    if (!this.session) return this.flush();
    try {
      const { messages, more } = await this.call("messages?limit=20");
      this.more = more;
      this.seen = this.kept.get("seen") ?? -1;
      this.add(messages);
      this.catchUp();
    } catch (error) {
      if (!error.passing) return this.forget();
      await pause(this, 2000);
      return this.resume();
    }
    this.state ||= "active";
    this.line.start();
    this.flush();
  }

  /** Begin a chat, or resume the chat that the router has for this browser. */
  async begin(form, fresh = false) {
    const body = { ...this.start, client_id: this.client, form, language: this.language, new: fresh };
    const { token, conversation_sid, messages, more, read, state } = await call("sessions", { body });
    if (state === "closed" && !fresh) return this.begin(form, true);
    this.line.stop();
    if (fresh) this.reset();
    this.hold({ token, sid: conversation_sid });
    this.add(messages);
    Object.assign(this, { more, state, seen: Math.max(this.seen, read) });
    this.kept.set("seen", this.seen);
    this.line.start();
    this.line.tell("session", this.session);
    this.ends.tell("began");
    this.resend();
  }

  hold(session) {
    this.session = session;
    this.kept.set("session", session);
  }

  /** The token is no longer valid: the next message starts a new session. */
  forget() {
    this.hold(null);
    this.line.stop();
    this.ends.changed();
  }

  close() {
    if (this.state === "closed") return;
    this.ends.restore(this.waiting.map(({ body }) => body).join("\n"));
    this.kept.set("waiting", null);
    Object.assign(this, { state: "closed", typing: null, waiting: [] });
    this.line.stop();
    this.ends.tell("ended");
    this.ends.changed();
  }

  async end() {
    await this.call("end", { body: {} });
    this.line.tell("state", { state: "closed" });
    this.close();
  }

  /** Call with the token; an expired one is renewed, by this tab or by another. */
  async ask(path, options, again = 2) {
    const { token, sid } = this.session ?? {};
    try {
      return await ask(path, { ...options, token });
    } catch (error) {
      if (error.status !== 401 || !again || !token) throw error;
    }
    const kept = this.kept.get("session");
    if (kept?.sid === sid && kept.token !== token) this.session = kept;
    else {
      this.renewal ??= call("token", { token, body: {} }).finally(() => (this.renewal = null));
      this.hold({ sid, token: (await this.renewal).token });
    }
    return this.ask(path, options, again - 1);
  }

  call = async (path, options) => (await this.ask(path, options)).json();
  post = (path, body) => this.ask(path, { body }).catch(() => {});

  // -- incoming ------------------------------------------------------------------------------------------------------

  take(event, data, passed) {
    if (event === "message") {
      // This tab may have missed the previous message, if it was not listening yet when another tab passed it on.
      if (passed && data.index > this.cursor + 1) this.catchUp();
      this.add([data]);
    } else if (event === "snapshot") {
      this.add(data.messages);
      this.cursor = Math.max(this.cursor, data.cursor);
      this.theirs = Math.max(this.theirs, data.read ?? -1);
    } else if (event === "changed") {
      for (const known of this.messages) if (known.sid === data.sid) known.body = data.body;
      this.messages = this.messages.filter(({ body }) => body);
    } else if (event === "typing") {
      this.typing = { author: data.author, until: Date.now() + TYPING };
      setTimeout(this.ends.changed, TYPING);
    } else if (event === "read") this.theirs = Math.max(this.theirs, data.index);
    else if (event === "seen") this.seen = Math.max(this.seen, data.index);
    // The event has the session, because storage written by another tab may not be visible in this one yet.
    else if (event === "session" && data.sid !== this.session?.sid) this.ends.restart(this.hold(data));
    if (data?.state === "closed") this.close();
    this.ends.changed();
  }

  add(messages, older) {
    const before = this.cursor;
    for (const message of messages) {
      const { sid, own, index, author, body, client_message_id } = message;
      this.sent(client_message_id);
      if (this.typing?.author === author) this.typing = null;
      if (this.messages.some((known) => known.sid === sid)) continue;
      this.messages.push(message);
      if (!own && index > before && this.state) this.ends.tell("message", { author, body });
    }
    this.messages.sort((a, b) => a.index - b.index);
    if (!older) this.cursor = Math.max(before, highest(messages));
  }

  catchUp() {
    this.call(`events?wait=0&after=${this.cursor}`).then((data) => this.take("snapshot", data), () => {});
  }

  async older() {
    const { messages, more } = await this.call(`messages?limit=20&before=${this.messages[0].index}`);
    this.more = more;
    this.add(messages, true);
    this.ends.changed();
  }

  // -- outgoing ------------------------------------------------------------------------------------------------------

  send(body) {
    const message = { id: random(), body, date: new Date().toISOString() };
    this.kept.set("waiting", [...(this.kept.get("waiting") ?? []), message]);
    this.waiting.push(message);
    this.typed = 0;
    this.resend();
  }

  sent(sid) {
    const others = (messages) => messages?.filter(({ id }) => id !== sid) ?? [];
    if (!sid) return;
    this.waiting = others(this.waiting);
    this.kept.set("waiting", others(this.kept.get("waiting")));
  }

  /** Send again the messages that could not be sent, and end the pauses before the others. */
  resend(messages = this.waiting.filter(({ failed }) => failed === "unsent")) {
    for (const message of messages) Object.assign(message, { failed: "", tries: 0 });
    this.hurry?.();
    this.flush();
  }

  /** Send the waiting messages one after another, in their order. */
  async flush() {
    this.ends.changed();
    if (this.flushing) return;
    this.flushing = true;
    for (let message; this.state !== "closed" && (message = this.waiting.find(({ failed }) => !failed)); ) {
      const { id, body } = message;
      try {
        if (this.session) {
          const sent = { client_message_id: id, body };
          const given = await this.call("messages", { body: { ...sent, language: this.language } });
          this.add([{ ...sent, ...given, own: true }], true);
        } else await this.begin(this.form);
      } catch (error) {
        await this.refused(message, error);
      }
      this.ends.changed();
    }
    this.flushing = false;
  }

  async refused(message, { status, passing, wait }) {
    if (status === 429) {
      for (message.until = Date.now() + (wait || 5000); Date.now() < message.until; await pause(this, 500)) this.ends.changed();
      message.until = 0;
    } else if (passing || status === 401) {
      if (!passing) this.forget();
      message.tries = (message.tries ?? 0) + 1;
      if (message.tries < TRIES) await pause(this, wait || 2 ** message.tries * 500);
      // Later messages fail with this one: otherwise they would overtake it.
      else for (const each of this.waiting) each.failed = "unsent";
    } else if (status === 409 || (status === 403 && this.session)) this.close();
    else if (status === 400 && !this.session) {
      message.failed = "unsent";
      this.ends.form();
    } else message.failed = FAULTS[status] ?? "failed";
  }

  /** Tell the other side that the visitor is typing, at most once in three seconds. */
  types() {
    if (this.state !== "active" || Date.now() < this.typed + 3000) return;
    this.typed = Date.now();
    this.post("typing", {});
  }

  /** All messages are visible to the visitor: mark them as read. */
  look() {
    const index = highest(this.messages.filter(({ own }) => !own));
    if (index <= this.seen || !this.session) return;
    this.seen = index;
    this.kept.set("seen", index);
    this.line.tell("seen", { index });
    this.post("read", { index });
  }
}
