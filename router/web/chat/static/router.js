// Calls of the router, and the connection on which it sends events.

const HOME = new URL("../../", import.meta.url);
// The router sends a comment every 15 s; a stream that is silent for more than two intervals is dead.
const SILENCE = 40_000;
const LONGEST = 30_000;

/** An error answer of the router; status 0: it could not be reached. */
class Refused extends Error {
  constructor(status, message, wait = 0) {
    super(message);
    this.status = status;
    this.wait = wait * 1000;
    // Whether the same call may succeed later.
    this.passing = !status || status === 408 || status === 429 || status >= 500;
  }
}

/** Call the router; return the Response. With a body it is a POST of JSON. */
export async function ask(path, { token, body, headers, signal = AbortSignal.timeout(SILENCE) } = {}) {
  const answer = await fetch(new URL(path, HOME), {
    method: body ? "POST" : "GET",
    headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }), ...headers },
    body: body && JSON.stringify(body),
    credentials: "omit",
    signal,
  }).catch((error) => {
    throw new Refused(0, error);
  });
  if (answer.ok) return answer;
  const error = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, error.message, Number(answer.headers.get("Retry-After")));
}

/** Call the router; return the JSON of the answer. */
export const call = async (path, options) => (await ask(path, options)).json();

/** Wait for this time ± 25 %; `owner.hurry()` ends it. */
export const pause = (owner, milliseconds) =>
  new Promise((resolve) => {
    owner.hurry = resolve;
    setTimeout(resolve, milliseconds * (0.75 + Math.random() / 2));
  });

/** Storage under a name: in the browser or, if that is blocked, in the memory of this page. */
export function keep(name) {
  let area = {};
  let blocked = true;
  try {
    localStorage[name] = "";
    area = localStorage;
    blocked = false;
  } catch {
    // `blocked` shows a note to the visitor.
  }
  return {
    name,
    blocked,
    get: (key) => JSON.parse(area[`${name}:${key}`] ?? "null"),
    set: (key, value) => (area[`${name}:${key}`] = JSON.stringify(value)),
  };
}

/** One stream for all tabs of a browser; long polling if streams do not work. */
export class Line {
  /**
   * @param {string} name of the chat, the same in all tabs; "" for this tab alone
   * @param {object} ends callbacks
   *   open(signal, polls): the Response of /chat/events
   *   take(name, data, passed): one event; `passed` if another tab passed it on
   *   left(): another tab has taken the connection, and this one may have missed events
   *   reached(up): whether the router can be reached
   *   lost(error): the router refuses further requests of this chat
   */
  constructor(name, ends) {
    this.name = name;
    this.ends = ends;
    this.turn = 0;
    // Without storage, each tab has its own chat.
    if (!name) return;
    this.tabs = new BroadcastChannel(name);
    this.tabs.onmessage = ({ data }) => ends.take(...data, true);
  }

  start() {
    this.on = true;
    this.queue(!document.hidden);
  }

  stop() {
    this.on = false;
    this.turn += 1;
    this.cut();
  }

  /** End the current request, or the pause before the next one. */
  cut() {
    this.leads = false;
    this.abort?.();
    this.hurry?.();
  }

  /** Send an event to the other tabs. */
  tell(name, data) {
    this.tabs?.postMessage([name, data]);
  }

  /** The page was shown, or the browser is online again: make sure that this tab has a working connection. */
  wake() {
    if (!this.on) return;
    this.failures = 0;
    if (!this.leads) this.queue(true);
    else if (Date.now() - this.last > SILENCE / 2) this.abort();
    this.hurry?.();
  }

  /** Wait for the lock of the browser's one connection, or with `steal` take it from another tab. */
  queue(steal) {
    const turn = ++this.turn;
    const run = () => turn === this.turn && this.run(turn);
    if (!this.tabs || !navigator.locks) run();
    else {
      navigator.locks.request(this.name, { steal }, run).catch((error) => {
        if (turn !== this.turn) return;
        if (error.name !== "AbortError") return run();
        this.cut();
        this.queue(false);
        this.ends.left();
      });
    }
  }

  async run(turn) {
    this.leads = true;
    this.failures = 0;
    while (turn === this.turn) {
      let wait;
      try {
        wait = await this.once(turn);
      } catch (error) {
        if (turn !== this.turn) return;
        if (error.passing === false) {
          this.stop();
          this.ends.lost(error);
          return;
        }
        this.ends.reached(false);
        this.failures += 1;
        wait = error.wait || Math.min(LONGEST, 500 * 2 ** this.failures);
      }
      await pause(this, wait);
    }
  }

  /** Make one request; return the milliseconds until the next. */
  async once(turn) {
    const ending = new AbortController();
    const began = Date.now();
    const pass = (name, data) => {
      if (turn !== this.turn) return;
      this.ends.take(name, data);
      this.tell(name, data);
    };
    this.abort = () => ending.abort();
    this.last = began;
    const watch = setInterval(() => {
      if (Date.now() - this.last < SILENCE) return;
      // Nothing was received, so a proxy buffers the stream: poll instead.
      this.polls ||= this.last === began;
      ending.abort();
    }, 1000);
    try {
      const answer = await this.ends.open(ending.signal, this.polls);
      this.ends.reached(true);
      if (answer.headers.get("Content-Type").startsWith("application/json")) {
        const snapshot = await answer.json();
        pass("snapshot", snapshot);
        return this.polls ? 50 : snapshot.retry * 1000;
      }
      const parse = parser(pass);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let piece; !(piece = await reader.read()).done; parse(piece.value)) {
        this.last = Date.now();
        this.failures = 0;
      }
    } finally {
      clearInterval(watch);
    }
    return Date.now() - began < 1000 ? 1000 : 50;
  }
}

/** Return a parser of an event stream: it takes pieces of text, and calls `event` for each complete event. */
function parser(event) {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: ?(.*)/s)));
      if (fields.data) event(fields.event ?? "message", JSON.parse(fields.data));
    }
  };
}
