// Optional features of the pages: live regions, the browser's time zone, copy buttons, keyboard shortcuts.
"use strict";

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- live regions ------------------------------------------------------------------------------------------------
// A region with data-live="2" is fetched again every 2 s, except while the page is hidden, a mouse button is down, rows
// or text are selected, the region has the focus or an open <details>, or a dialog is open.

let holding = false;
addEventListener("pointerdown", () => { holding = true; });
addEventListener("pointerup", () => { holding = false; });

const busy = (region) => document.hidden || holding || document.querySelector("dialog[open]")
  || region.contains(document.activeElement) || region.querySelector("input:checked, details[open]")
  || String(getSelection());

async function refresh(region, number) {
  const headers = { "X-Live": "1" };
  if (region.dataset.mark) headers["If-None-Match"] = region.dataset.mark;
  const response = await fetch(location.href, { headers, credentials: "same-origin", redirect: "error" });
  if (response.status === 304 || busy(region)) return;
  if (!response.ok) throw new Error(response.status);
  const fresh = $$("[data-live]", new DOMParser().parseFromString(await response.text(), "text/html"))[number];
  if (!fresh) { location.reload(); return; } // the region is no longer live, for example after the end of a replay
  region.dataset.mark = response.headers.get("ETag") || "";
  if (bars.get(region)?.rests(fresh)) return;
  show(region, fresh);
}

function show(region, fresh) {
  const scrolled = $$(".table", region).map((each) => each.scrollLeft);
  region.replaceChildren(...fresh.childNodes);
  $$(".table", region).forEach((each, n) => { each.scrollLeft = scrolled[n] || 0; });
  tell(region);
}

// A list with data-rows="messages" can be paused, and pauses while it is scrolled down: a button counts the new rows,
// and shows them.
const bars = new Map();
const keysOf = (root) => $$("tr[data-key]", root).map((each) => each.dataset.key);

function listBar(region) {
  const make = (textContent) => Object.assign(document.createElement("button"), { type: "button", textContent });
  const bar = Object.assign(document.createElement("p"), { className: "live-bar" });
  const [pause, news] = [make("Pause"), make("")];
  let waiting = null;
  const paused = () => pause.getAttribute("aria-pressed") === "true";
  const resting = () => paused() || region.getBoundingClientRect().top < 0;
  const press = (is) => {
    pause.setAttribute("aria-pressed", is);
    news.hidden = !waiting;
  };
  const update = () => {
    if (!waiting) return;
    const fresh = waiting;
    waiting = null;
    show(region, fresh);
  };
  pause.addEventListener("click", () => {
    if (paused()) update();
    press(!paused());
  });
  news.addEventListener("click", () => {
    update();
    press(paused());
    region.scrollIntoView();
    pause.focus({ preventScroll: true });
  });
  bar.append(pause, " ", news);
  region.before(bar);
  press(false);
  return {
    resume() {
      if (!waiting || resting()) return;
      update();
      press(false);
    },
    full: () => waiting && !keysOf(waiting).some((key) => keysOf(region).includes(key)),
    rests(fresh) {
      const rests = resting();
      waiting = rests ? fresh : null;
      const known = keysOf(region);
      const count = keysOf(fresh).filter((key) => !known.includes(key)).length;
      const all = count && count === keysOf(fresh).length;
      const many = all ? `${count} or more` : count;
      news.textContent = count ? `Show new ${region.dataset.rows} (${many})` : "Show what has changed";
      press(paused());
      return rests;
    },
  };
}

for (const each of $$("[data-live][data-rows]")) bars.set(each, listBar(each));

$$("[data-live]").forEach((region, number) => {
  const pause = Number(region.dataset.live) * 1000;
  let misses = 0;
  const later = () => setTimeout(look, pause * Math.min(2 ** misses, 16) * (0.9 + Math.random() / 5));
  const look = async () => {
    try {
      if (!busy(region)) {
        bars.get(region)?.resume(); // the list may have been scrolled back since
        if (!bars.get(region)?.full()) await refresh(region, number);
      }
      misses = 0;
    } catch { misses += 1; }
    document.body.classList.toggle("stale", misses > 1);
    later();
  };
  later();
});

// -- times ---------------------------------------------------------------------------------------------------------

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
let utc = false;
try { utc = localStorage.getItem("utc") === "1"; } catch { /* storage is blocked: local time */ }

function ago(then) {
  const seconds = Math.max(0, Math.floor((Date.now() - then) / 1000));
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name} ago`;
  }
  return "now";
}

function tell(root = document) {
  for (const each of $$("time", root)) {
    const then = new Date(each.dateTime);
    const absolute = utc ? `${each.dateTime.replace("T", " ").replace("Z", "")} UTC` : local.format(then);
    if ("absolute" in each.dataset) each.textContent = absolute;
    else { each.textContent = ago(then); each.title = absolute; }
  }
}
tell();
setInterval(() => document.hidden || tell(), 5000);

const zone = document.querySelector("#zone");
if (zone) {
  const name = () => { zone.textContent = utc ? "UTC" : "Local time"; };
  zone.hidden = false;
  name();
  zone.addEventListener("click", () => {
    utc = !utc;
    try { localStorage.setItem("utc", utc ? "1" : "0"); } catch { /* for this page only */ }
    name();
    tell();
  });
}

// -- copying and selecting -----------------------------------------------------------------------------------------

for (const each of $$("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy", className: "plain" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(each.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  each.after(" ", button);
}

for (const all of $$("[data-all]")) {
  const boxes = () => $$('tbody input[type="checkbox"]', all.closest("table"));
  all.hidden = false;
  all.addEventListener("change", () => boxes().forEach((each) => { each.checked = all.checked; }));
}

for (const bar of $$("progress[data-done]")) bar.value = bar.dataset.done;

// -- keys ------------------------------------------------------------------------------------------------------------

let row = -1;
function move(by) {
  const rows = $$("tbody tr");
  if (!rows.length) return;
  row = Math.min(Math.max(row + by, 0), rows.length - 1);
  rows.forEach((each, n) => each.setAttribute("aria-selected", String(n === row)));
  (rows[row].querySelector("a, input") || rows[row]).focus();
}
const keys = {
  "/": () => document.querySelector('[role="search"] input')?.focus(),
  j: () => move(1),
  k: () => move(-1),
  x: () => $$("tbody tr")[row]?.querySelector('input[type="checkbox"]')?.click(),
  r: () => document.querySelector("[data-key-r]")?.focus(),
  "?": () => document.querySelector("#keys")?.showModal(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
