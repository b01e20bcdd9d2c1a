"use strict";
// Everything on the pages works without this file: it loads charts late and follows the logs.
(() => {
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  const load = async (place) => {
    try {
      const answer = await fetch(place.dataset.load, { credentials: "same-origin" });
      const found = parse(await answer.text()).querySelector("#charts");
      if (!answer.ok || !found) throw new Error(String(answer.status));
      place.replaceChildren(...found.children);
    } catch {
      place.setAttribute("data-failed", "");
    }
    place.removeAttribute("aria-busy");
  };
  const loadAll = () => document.querySelectorAll("[data-load]").forEach(load);
  loadAll();

  const notice = document.getElementById("changed");
  if (!notice || !window.EventSource) return;
  let last = 0, waiting = 0;
  const busy = () => {
    const active = document.activeElement;
    return document.hidden || document.querySelector("details[open]") || (active && active.closest("form"))
      || String(window.getSelection());
  };
  const refresh = async () => {
    if (busy()) { notice.hidden = false; return; }
    last = Date.now();
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const fresh = parse(await answer.text());
    const now = document.getElementById("live"), next = fresh.getElementById("live");
    if (!answer.ok || !now || !next) { notice.hidden = false; return; }
    const charts = now.querySelector("[data-load]"), place = next.querySelector("[data-load]");
    now.replaceChildren(...next.children);
    // The charts that are there stay until the next full page: drawing them takes longer than counting.
    if (charts && place) now.querySelector("[data-load]").replaceWith(charts);
    notice.hidden = true;
  };
  const changes = new EventSource("/changes");
  changes.addEventListener("changed", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => refresh().catch(() => { notice.hidden = false; }), Math.max(0, last + 5000 - Date.now()));
  });
  window.addEventListener("pagehide", () => changes.close());
})();
