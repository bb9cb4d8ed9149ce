// The web chat's loader: a button, and an iframe of the router's origin when it is needed (docs/web-chat.md).
(() => {
  const script = document.currentScript;
  const home = new URL("./", script.src);
  const listeners = {};
  let chat;

  // On small screens the frame covers the page.
  const SMALL = "(max-width: 480px), (max-height: 520px)";
  const CSS = `
    :host { all: initial; position: fixed; z-index: 2147483000; inset: auto auto 20px auto; inset-inline-end: 20px; }
    :host(.start) { inset-inline: 20px auto; }
    button { width: 56px; height: 56px; padding: 13px; cursor: pointer; border: 2px solid transparent;
      border-radius: 50%; box-shadow: 0 2px 10px #0006;
      background: var(--chat-accent, #0b57d0); color: var(--chat-on-accent, #fff); }
    button:focus-visible { outline: 3px solid var(--chat-accent, #0b57d0); outline-offset: 3px; }
    svg { fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
    span { position: absolute; top: -6px; right: -6px; min-width: 14px; padding: 2px 5px; border: 1px solid #fff;
      border-radius: 12px; background: #b3261e; color: #fff; font: bold 14px/18px system-ui; }
    span:empty { display: none; }
    iframe { position: absolute; bottom: 68px; inset-inline-end: 0; visibility: hidden; border: 1px solid #8886;
      width: min(var(--chat-width, 384px), 100vw - 40px); height: min(var(--chat-height, 640px), 100vh - 108px);
      border-radius: var(--chat-radius, 14px); box-shadow: 0 6px 30px #0005; }
    :host(.start) iframe { inset-inline: 0 auto; }
    :host(.open) iframe { visibility: visible; }
    @media ${SMALL} {
      :host iframe { position: fixed; inset: 0 !important; width: 100%; height: 100%; border: 0; border-radius: 0; }
      :host(.open) button { visibility: hidden; }
    }`;
  // The button's label until the frame has loaded the texts of the language.
  const NAMES = {
    ar: "دردشة", fa: "گفتگو", he: "צ'אט", hi: "चैट", ja: "チャット", ko: "채팅", ru: "Чат", th: "แชท", tr: "Sohbet",
    uk: "Чат", vi: "Trò chuyện", zh: "聊天",
  };

  const emit = (name, detail) => (listeners[name] ?? []).forEach((listener) => listener(detail));

  // Write to or read from storage, which may be blocked.
  function note(area, key, value) {
    try {
      return value ? window[area].setItem(key, value) : window[area].getItem(key);
    } catch {
      return null;
    }
  }

  function start(options) {
    const noted = `router-chat:${options.address}`;
    const pageLang = document.documentElement.lang;
    const tag = options.lang || pageLang || navigator.language;
    const host = document.createElement("div");
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    const button = document.createElement("button");
    const badge = document.createElement("span");
    const [svg, path] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
    let words = { open: NAMES[tag.slice(0, 2)] ?? "Chat" };
    let frame, focus, greeted, touched;

    const at = (name) => new URL(`${name}?address=${encodeURIComponent(options.address)}`, home);
    const isOpen = () => host.classList.contains("open");
    const say = (message) => greeted && frame.contentWindow.postMessage(message, home.origin);

    function draw() {
      path.setAttribute("d", isOpen() ? "M6 6l12 12M18 6L6 18" : "M4 5h16v11H10l-5 4v-4H4z");
      badge.textContent = isOpen() ? "" : words.badge ?? "";
      button.ariaLabel = isOpen() ? words.close ?? words.open : words.open + (words.unread ? `, ${words.unread}` : "");
      button.ariaExpanded = isOpen();
    }

    function greet() {
      const style = getComputedStyle(host);
      const variables = {};
      for (const name of ["accent", "on-accent", "background", "text", "radius", "font"]) {
        variables[name] = style.getPropertyValue(`--chat-${name}`).trim();
      }
      greeted = true;
      say({ type: "hello", options: JSON.parse(JSON.stringify({ pageLang, variables, ...options })) });
      if (isOpen()) say({ type: "shown", shown: true, focus });
      focus = false;
    }

    function load() {
      if (frame) return;
      frame = document.createElement("iframe");
      frame.title = words.open;
      frame.src = at("frame");
      frame.onload = greet;
      root.append(frame);
    }

    function open(quietly) {
      if (isOpen()) return;
      load();
      touched = true;
      focus = !quietly;
      host.classList.add("open");
      draw();
      document.body.inert = matchMedia(SMALL).matches;
      if (focus) frame.focus();
      say({ type: "shown", shown: true, focus });
      emit("open");
    }

    function close() {
      if (!isOpen()) return;
      const inside = root.activeElement === frame;
      host.classList.remove("open");
      draw();
      document.body.inert = false;
      if (inside) button.focus();
      say({ type: "shown" });
      note("sessionStorage", noted, "closed");
      emit("close");
    }

    addEventListener("message", ({ source, origin, data }) => {
      if (!frame || source !== frame.contentWindow || origin !== home.origin) return;
      if (data.words) {
        words = { ...words, ...data.words };
        frame.title = words.title;
        draw();
      }
      for (const name in data.colours) host.style.setProperty(`--chat-${name}`, data.colours[name]);
      if (data.began) note("localStorage", noted, "began");
      if (data.close) close();
      if (data.event) emit(data.event, data.detail);
    });
    button.onclick = () => (isOpen() ? close() : open());
    button.onpointerenter = load;
    button.onkeydown = ({ key }) => {
      if (key === "Escape") close();
    };

    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.append(path);
    button.append(svg, badge);
    root.append(button);
    host.className = options.position ?? "";
    draw();
    if (note("localStorage", noted)) load();
    // If the website may not embed the chat, this logs the reason for its developer, and there is no button.
    import(at("embed.js")).catch(() => ({})).then(({ forbidden }) => {
      if (chat?.host !== host) return;
      if (forbidden) return (chat = close());
      document.documentElement.append(host);
      if (options.openAfter && !note("sessionStorage", noted)) {
        setTimeout(() => touched || matchMedia(SMALL).matches || open(true), options.openAfter * 1000);
      }
    });
    return { open, close, isOpen, host };
  }

  /** Accepts our options, or those of Twilio's React app. */
  function initWebchat(given = {}) {
    const options = { ...script.dataset, ...given };
    const form = {};
    // data-form-friendly-name fills in friendlyName.
    for (const name in script.dataset) {
      if (/^form[A-Z]/.test(name)) form[name[4].toLowerCase() + name.slice(5)] = options[name];
    }
    options.form = { ...form, ...given.form };
    options.address ??= given.addressSid;
    if (options.lang === "auto") options.lang = "";
    chat?.host.remove();
    chat = start(options);
    return window.routerChat;
  }

  window.routerChat = {
    open: () => chat?.open(),
    close: () => chat?.close(),
    isOpen: () => Boolean(chat?.isOpen()),
    on: (name, listener) => (listeners[name] ??= []).push(listener),
  };
  window.Twilio = { ...window.Twilio, initWebchat };
  if (script.dataset.address) initWebchat();
})();
