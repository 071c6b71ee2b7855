// Live pages: on an event the page is fetched anew and every [data-live] part that differs is swapped.
"use strict";

(() => {
  const body = document.body;
  const offline = document.getElementById("offline");
  const SOON = 300;
  const CALM = 8000;
  const PATIENCE = 4000;
  const UNSEEN = 10000;
  let timer = 0;
  let due = Infinity;
  let fetched = 0;
  let lost = 0;
  let stale = false;

  function same(one, other) {
    return one.isEqualNode(other);
  }

  function busy(part) {
    const held = document.activeElement;
    return part.contains(held) && /^(INPUT|TEXTAREA|SELECT)$/.test(held.tagName);
  }

  function keepFocus(part, fresh) {
    const held = document.activeElement;
    if (!part.contains(held)) return () => {};
    const all = [...part.querySelectorAll("a, button, summary")];
    const at = all.indexOf(held);
    return () => { const next = [...fresh.querySelectorAll("a, button, summary")][at]; if (next) next.focus({ preventScroll: true }); };
  }

  function replace(main, fresh) {
    const focus = keepFocus(main, fresh);
    const wanted = main.querySelector(".filter input")?.value;
    main.replaceWith(fresh);
    focus();
    body.dispatchEvent(new Event("pantau:page"));
    prepare();
    const field = fresh.querySelector(".filter input");
    if (field && wanted) { field.value = wanted; field.dispatchEvent(new Event("input")); }
  }

  function swap(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const parts = [...document.querySelectorAll("[data-live]")];
    const fresh = [...page.querySelectorAll("[data-live]")];
    const missing = parts.length !== fresh.length || parts.some((part, at) => part.id !== fresh[at].id);
    const main = document.getElementById("main");
    if (missing && !busy(main)) {
      replace(main, page.getElementById("main"));
      return;
    }
    for (const part of parts) {
      const next = page.getElementById(part.id);
      if (!next || same(part, next) || busy(part)) continue;
      const status = (node) => [...node.querySelectorAll(".state")].map((one) => one.className).join();
      const changed = status(part) !== status(next);
      const focus = keepFocus(part, next);
      for (const field of part.querySelectorAll("textarea[id], select[id], input[id]")) {
        const twin = next.querySelector("#" + CSS.escape(field.id));
        if (twin) twin.value = field.value;
      }
      for (const fold of part.querySelectorAll("details[open]")) next.querySelector("#" + CSS.escape(fold.id))?.setAttribute("open", "");
      if (part.hidden) next.hidden = true;
      part.replaceWith(next);
      focus();
      if (changed) next.classList.add("changed");
    }
  }

  async function refresh() {
    due = Infinity;
    fetched = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (answer.ok) swap(await answer.text());
    } catch { /* the stream tells when the centre is back */ }
  }

  function plan(delay) {
    const at = Date.now() + delay;
    if (at >= due) return;
    due = at;
    clearTimeout(timer);
    timer = setTimeout(() => { if (document.hidden) { due = Infinity; stale = true; } else refresh(); }, delay);
  }

  // a browser opens six connections to a host: pages that nobody sees must leave them to the one that is looked at
  function listenWhileSeen(address) {
    let source = document.hidden ? null : listen(address);
    let leaving = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(leaving);
      if (document.hidden) leaving = setTimeout(() => { source?.close(); source = null; }, UNSEEN);
      else if (!source || stale) { stale = false; source ||= listen(address); plan(0); }
    });
    setInterval(() => plan(CALM), 30000);
    setInterval(() => { if (source?.readyState === EventSource.CLOSED) source = listen(address, false); }, 5000);
  }

  function listen(address, first = true) {
    const source = new EventSource(address);
    source.onopen = () => { clearTimeout(lost); lost = 0; offline.hidden = true; };
    source.onerror = () => {
      // every failed try to reconnect is an error, too: only the first one starts the clock
      lost ||= setTimeout(() => { offline.textContent = body.dataset.offline; offline.hidden = false; }, PATIENCE);
    };
    source.addEventListener("resync", () => { if (!first) plan(SOON); first = false; });
    for (const name of ["flip", "incident"]) source.addEventListener(name, () => plan(SOON));
    for (const name of ["look", "host"]) source.addEventListener(name, () => plan(Math.max(SOON, fetched + CALM - Date.now())));
    return source;
  }

  function filter(label) {
    const field = label.querySelector("input");
    const area = document.querySelector(label.dataset.filter);
    const nothing = document.getElementById("nothing");
    label.hidden = false;
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase().split(/\s+/);
      let left = 0;
      for (const one of area.querySelectorAll("[data-filter-text]")) {
        const text = one.dataset.filterText.toLowerCase();
        one.hidden = !wanted.every((word) => text.includes(word));
        if (!one.hidden) left += 1;
      }
      for (const group of area.querySelectorAll("[data-filter-group]")) {
        group.hidden = !group.querySelector("[data-filter-text]:not([hidden])");
      }
      if (nothing) nothing.hidden = left > 0;
    });
  }

  function prepare() {
    for (const label of document.querySelectorAll("[data-filter]")) filter(label);
    for (const field of document.querySelectorAll("[data-submit]")) field.addEventListener("change", () => field.form.requestSubmit());
  }

  fetched = Date.now();
  prepare();
  if (body.dataset.stream) listenWhileSeen(body.dataset.stream);
})();
