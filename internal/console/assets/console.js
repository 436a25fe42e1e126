// What pages cannot do without a script: keys, copying, and the live log. Everything else works without this file.
"use strict";

addEventListener("keydown", (e) => {
  const typing = e.target.closest("input, textarea, select, [contenteditable]");
  if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
    const box = document.querySelector("[data-search]");
    if (box) { e.preventDefault(); box.focus(); box.select(); }
  }
  if (e.key === "Escape") {
    const open = e.target.closest("details.drop[open], details.confirm[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
    const menu = document.getElementById("menu");
    if (menu) menu.checked = false;
  }
});

// A menu closes when something else is pressed.
addEventListener("click", (e) => {
  for (const d of document.querySelectorAll("details.drop[open]")) if (!d.contains(e.target)) d.open = false;
});

for (const b of document.querySelectorAll(".copy")) {
  if (!navigator.clipboard) break;
  b.hidden = false;
  b.addEventListener("click", async () => {
    const from = b.dataset.copyFrom && document.getElementById(b.dataset.copyFrom);
    await navigator.clipboard.writeText(from ? from.textContent : b.dataset.copy);
    b.classList.add("copied");
    setTimeout(() => b.classList.remove("copied"), 1500);
  });
}

// More rows of a map without asking the server.
for (const b of document.querySelectorAll(".map .more")) {
  b.addEventListener("click", (e) => {
    e.preventDefault();
    const rows = b.parentElement.querySelectorAll(".map-row");
    const fresh = rows[rows.length - 1].cloneNode(true);
    for (const i of fresh.querySelectorAll("input")) { i.value = ""; i.readOnly = false; }
    b.before(fresh);
    fresh.querySelector("input").focus();
  });
}

// A poll that fails shows nothing wrong by itself: say that the page is not live.
document.addEventListener("htmx:sendError", () => document.body.classList.add("offline"));
document.addEventListener("htmx:afterOnLoad", () => document.body.classList.remove("offline"));

const pane = document.getElementById("log");
if (pane) followLog(pane);

function followLog(pane) {
  const keep = 5000, batch = [];
  const el = (id) => document.getElementById(id);
  const search = el("log-search"), follow = el("log-follow"), wrap = el("log-wrap"), pause = el("log-pause"), state = el("log-state"), instance = el("log-instance");
  let paused = false, abort = null, drawing = false;

  const shows = (row) => row.textContent.toLowerCase().includes(search.value.toLowerCase());
  const toEnd = () => { if (follow.checked) pane.scrollTop = pane.scrollHeight; };
  const draw = () => {
    drawing = false;
    if (paused) return;
    const some = document.createDocumentFragment();
    for (const line of batch.splice(0)) {
      const row = document.createElement("div"), time = document.createElement("time"), text = document.createElement("span");
      row.className = "line" + (line.stream === "stderr" ? " err" : "") + (line.step ? " step" : "");
      time.textContent = (line.at || "").slice(11, 23);
      time.title = (line.at || "") + (line.instance ? " " + line.instance : "");
      text.textContent = line.text;
      row.append(time, text);
      row.hidden = search.value !== "" && !shows(row);
      some.append(row);
    }
    pane.append(some);
    while (pane.childElementCount > keep) pane.firstElementChild.remove();
    toEnd();
  };
  const add = (line) => {
    batch.push(line);
    if (batch.length > keep) batch.shift();
    if (!drawing) { drawing = true; requestAnimationFrame(draw); }
  };

  async function read() {
    for (let wait = 1000; ; wait = Math.min(wait * 2, 15000)) {
      abort = new AbortController();
      try {
        const q = new URLSearchParams({ follow: "1" });
        if (instance && instance.value) q.set("instance", instance.value);
        const r = await fetch(pane.dataset.log + "?" + q, { signal: abort.signal });
        if (r.redirected || r.status === 401) { location.reload(); return; }
        if (r.status === 404 && pane.dataset.once) { state.textContent = "there is none"; return; }
        if (!r.ok) throw new Error("answered " + r.status);
        state.textContent = "live";
        pane.replaceChildren();
        const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          const lines = (rest + value).split("\n");
          rest = lines.pop();
          for (const l of lines) {
            if (!l) continue;
            const doc = JSON.parse(l);
            if (doc.error) { state.textContent = doc.error.message; continue; }
            add(doc);
          }
          wait = 1000;
        }
        if (pane.dataset.once) { state.textContent = "ended"; return; }
        state.textContent = "ended; connecting again…";
      } catch (err) {
        if (err.name === "AbortError") { wait = 500; continue; }
        state.textContent = "not connected (" + err.message + "); trying again…";
      }
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  search.addEventListener("input", () => {
    for (const row of pane.children) row.hidden = search.value !== "" && !shows(row);
    toEnd();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) draw();
  });
  el("log-clear").addEventListener("click", () => pane.replaceChildren());
  wrap.addEventListener("change", () => pane.classList.toggle("nowrap", !wrap.checked));
  if (instance) instance.addEventListener("change", () => abort.abort());
  follow.addEventListener("change", toEnd);
  pane.addEventListener("scroll", () => { // looking back stops following; reaching the end follows again
    follow.checked = pane.scrollTop + pane.clientHeight >= pane.scrollHeight - 24;
  }, { passive: true });
  addEventListener("pagehide", () => abort.abort());
  read();
}
