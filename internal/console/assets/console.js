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

// The menu's groups stay as they were left, on this browser; the box above them narrows it to what is looked for.
const groups = [...document.querySelectorAll("details[data-menu]")];
const finder = document.getElementById("menu-find");
if (finder) {
  const remember = () => {
    const open = groups.filter((g) => g.open).map((g) => g.dataset.menu).join(".");
    document.cookie = "awan-menu=" + (open || "none") + "; path=/; max-age=31536000; samesite=strict; secure";
  };
  for (const g of groups) g.querySelector("summary").addEventListener("click", () => setTimeout(remember));
  const items = [...document.querySelectorAll(".side li")].map((li) => ({ li, title: li.textContent.toLowerCase(), what: (li.dataset.what || "").toLowerCase() }));
  let before = null;
  finder.hidden = false;
  const here = document.querySelector(".side a[aria-current]");
  if (here && getComputedStyle(here.closest(".side")).position === "sticky") here.scrollIntoView({ block: "nearest" });
  finder.addEventListener("input", () => {
    const words = finder.value.trim().toLowerCase();
    if (words && !before) before = groups.map((g) => g.open);
    let found = 0;
    for (const i of items) {
      i.li.hidden = words !== "" && !i.title.includes(words) && !(words.length > 2 && i.what.includes(words));
      if (!i.li.hidden) found++;
    }
    for (const g of groups) {
      g.hidden = !g.querySelector("li:not([hidden])");
      if (words) g.open = true;
    }
    if (!words && before) { groups.forEach((g, i) => { g.open = before[i]; }); before = null; }
    document.getElementById("menu-none").hidden = found > 0;
  });
  finder.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { finder.value = ""; finder.dispatchEvent(new Event("input")); }
    if (e.key !== "Enter" || !finder.value.trim()) return;
    const words = finder.value.trim().toLowerCase();
    const best = items.filter((i) => !i.li.hidden).sort((a, b) => b.title.startsWith(words) - a.title.startsWith(words) || b.title.includes(words) - a.title.includes(words))[0];
    if (best) best.li.querySelector("a").click();
  });
}

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
        if (r.status === 404 && pane.dataset.wait && document.querySelector("#app-job .steps")) throw new Error("not begun");
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

const deployForm = document.querySelector("#deploy-form[data-upload]");
if (deployForm) takeFiles(deployForm);

// Dropping a folder or an archive, and how far the upload is. The form works without this.
function takeFiles(form) {
  const zone = document.getElementById("drop-zone"), state = document.getElementById("drop-state");
  const folder = document.getElementById("folder"), archive = document.getElementById("archive");
  let dropped = []; // {path, file}
  const say = (text) => { state.textContent = text; };
  const size = (n) => n < 1 << 20 ? Math.ceil(n / 1024) + " KiB" : (n / (1 << 20)).toFixed(1) + " MiB";
  const tell = (name, files) => say(name + ": " + (files.length === 1 ? "1 file" : files.length + " files") + ", " + size(files.reduce((n, f) => n + f.file.size, 0)));
  const skip = (path) => /(^|\/)(\.git|node_modules)(\/|$)/.test(path);
  const named = (name) => {
    const box = form.elements.name;
    if (box && box.type === "text" && !box.value) box.value = name.replace(/\.(zip|tar|tgz|tar\.gz|jar|war)$/i, "").toLowerCase().replace(/[^a-z0-9-]+/g, "-").replace(/^[^a-z]+|-+$/g, "").slice(0, 40);
  };

  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(kind, (e) => { e.preventDefault(); zone.classList.toggle("over", kind === "dragover"); });
  }
  zone.addEventListener("drop", async (e) => {
    const entries = [...e.dataTransfer.items].map((i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
    const files = [...e.dataTransfer.files];
    dropped = [];
    folder.value = archive.value = "";
    if (entries.length === 1 && entries[0].isFile || entries.length === 0) {
      if (files.length === 0) return;
      const one = new DataTransfer();
      one.items.add(files[0]);
      archive.files = one.files;
      tell(files[0].name, [{ file: files[0] }]);
      return named(files[0].name);
    }
    say("reading…");
    const top = entries.length === 1 ? "" : "folder/";
    const walk = async (entry, at) => {
      const path = at + entry.name;
      if (skip(path)) return;
      if (entry.isFile) return void dropped.push({ path, file: await new Promise((ok, bad) => entry.file(ok, bad)) });
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((ok, bad) => reader.readEntries(ok, bad));
        if (some.length === 0) return;
        for (const child of some) await walk(child, path + "/");
      }
    };
    try {
      for (const entry of entries) await walk(entry, top);
    } catch (err) { dropped = []; return say("It cannot be read: " + err.message); }
    tell(entries[0].name, dropped);
    if (entries.length === 1) named(entries[0].name);
  });
  folder.addEventListener("change", () => {
    dropped = [];
    archive.value = "";
    const files = [...folder.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })).filter((f) => !skip(f.path));
    if (files.length === 0) return;
    const name = files[0].path.split("/")[0];
    tell(name, files);
    named(name);
  });
  archive.addEventListener("change", () => {
    dropped = [];
    folder.value = "";
    if (archive.files.length === 0) return;
    tell(archive.files[0].name, [{ file: archive.files[0] }]);
    named(archive.files[0].name);
  });

  form.addEventListener("submit", (e) => {
    e.preventDefault();
    const data = new FormData(), files = dropped.length ? dropped : [...folder.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })).filter((f) => !skip(f.path));
    for (const [k, v] of new FormData(form)) if (typeof v === "string") data.append(k, v);
    if (files.length) for (const f of files) data.append("folder", f.file, f.path);
    else if (archive.files.length) data.append("archive", archive.files[0], archive.files[0].name);
    const button = document.getElementById("deploy-now"), x = new XMLHttpRequest();
    button.disabled = true;
    x.upload.addEventListener("progress", (p) => { if (p.lengthComputable) say(p.loaded < p.total ? "uploading: " + Math.floor(100 * p.loaded / p.total) + " %" : "uploaded"); });
    x.addEventListener("error", () => { button.disabled = false; say("The upload broke off. Try again."); });
    x.addEventListener("load", () => {
      const to = new URL(x.responseURL);
      if (to.pathname !== "/deploy") { location.assign(to.href); return; }
      const page = new DOMParser().parseFromString(x.responseText, "text/html").querySelector("main");
      if (!page) { location.reload(); return; }
      document.querySelector("main").replaceWith(page);
      const again = document.querySelector("#deploy-form[data-upload]");
      if (again) takeFiles(again);
    });
    x.open("POST", form.getAttribute("action"));
    x.send(data);
  });
}
