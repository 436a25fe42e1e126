// Uploads of a bucket's page: small files in one piece, others in parts of which a few travel at a time. A file is read
// slice by slice, never as a whole. What was begun is remembered, so that the same file goes on where it stopped, after a
// lost connection by itself and after a reload when it is chosen again.
"use strict";

const uploader = document.getElementById("uploader");
if (uploader) startUploader(uploader);

function startUploader(box) {
  const { base, bucket, prefix, csrf } = box.dataset;
  const el = (id) => document.getElementById(id);
  const card = el("upload-card"), list = el("transfers"), sum = el("upload-sum"), retry = el("upload-retry"), stop = el("upload-stop"), close = el("upload-clear");
  const ONE = 8 << 20, LANES = 4, FILES = 2, RETRIES = 8;
  const queue = [], all = [];
  let running = 0, reloadWhenDone = false;

  for (const b of document.querySelectorAll(".needs-script")) b.hidden = false;
  const size = (n) => { let u = 0; for (; n >= 1024 && u < 5; u++) n /= 1024; return (u && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][u]; };
  const memo = (t) => "awan-upload:" + JSON.stringify([bucket, t.key, t.file.size, t.file.lastModified]);
  const remembered = (t) => { try { return localStorage.getItem(memo(t)); } catch { return null; } };
  const remember = (t, id) => { try { id ? localStorage.setItem(memo(t), id) : localStorage.removeItem(memo(t)); } catch { /* then it cannot go on after a reload */ } };
  const sleep = (ms, t) => new Promise((done) => { const go = () => { removeEventListener("online", go); clearTimeout(timer); done(); }, timer = setTimeout(go, ms); addEventListener("online", go); t.wake = go; });

  class Refused extends Error {}

  // One request. It ends with the answer, with Refused when the server said no, or with an Error when it may be tried again.
  function send(t, method, what, query, body, progress) {
    return new Promise((ok, bad) => {
      const x = new XMLHttpRequest();
      t.requests.add(x);
      const end = (f, v) => { t.requests.delete(x); f(v); };
      x.open(method, base + "/" + what + "?" + new URLSearchParams({ key: t.key, ...query }));
      x.setRequestHeader("X-Csrf", csrf);
      if (body) x.setRequestHeader("Content-Type", "application/octet-stream");
      if (progress) x.upload.addEventListener("progress", (p) => progress(p.loaded));
      x.addEventListener("load", () => {
        let doc = {};
        try { doc = JSON.parse(x.responseText); } catch { /* no words of ours */ }
        if (x.status < 300) return end(ok, doc);
        const text = (doc.message || "the cloud answered " + x.status) + (doc.next ? ". " + doc.next : "");
        const again = x.status >= 500 && x.status !== 507 && x.status !== 501 || x.status === 429 || x.status === 409;
        const e = again ? new Error(text) : new Refused(text);
        e.status = x.status;
        end(bad, e);
      });
      x.addEventListener("error", () => end(bad, new Error("no connection")));
      x.addEventListener("abort", () => end(bad, new Refused("cancelled")));
      x.send(body || null);
    });
  }

  async function stubborn(t, f) {
    for (let n = 0, wait = 1000; ; n++, wait = Math.min(wait * 2, 30000)) {
      if (t.cancelled) throw new Refused("cancelled");
      try {
        const v = await f();
        t.say("");
        return v;
      } catch (e) {
        if (e instanceof Refused || n >= RETRIES) throw e;
        t.say(e.message + "; trying again…");
        await sleep(wait, t);
      }
    }
  }

  const slices = (t, part) => Math.max(1, Math.ceil(t.file.size / part));

  async function inParts(t) {
    let upload = remembered(t), parts = {}, part = 0;
    if (upload) {
      try {
        parts = (await stubborn(t, () => send(t, "GET", "parts", { upload }))).parts || {};
        part = Number(remembered({ ...t, key: t.key + "\n#" })) || 0;
      } catch (e) {
        if (e.status !== 404) throw e;
        upload = null; // completed or given up meanwhile
      }
    }
    if (!upload || !part) {
      const begun = await stubborn(t, () => send(t, "POST", "upload", { size: t.file.size, type: t.file.type }));
      upload = begun.upload; part = begun.part_size; parts = {};
      remember(t, upload);
      remember({ ...t, key: t.key + "\n#" }, part);
    }
    t.upload = upload;
    const count = slices(t, part), todo = [], at = new Map();
    let done = 0;
    for (let n = 1; n <= count; n++) {
      const long = Math.min(part, t.file.size - (n - 1) * part);
      if (parts[n] === long) done += long; else todo.push([n, long]);
    }
    if (done) t.say("goes on at " + size(done));
    const show = () => t.progress(done + [...at.values()].reduce((a, b) => a + b, 0));
    show();
    const lane = async () => {
      for (let next; (next = todo.shift());) {
        const [n, long] = next, from = (n - 1) * part;
        await stubborn(t, () => { at.set(n, 0); return send(t, "PUT", "part", { upload, number: n }, t.file.slice(from, from + long), (b) => { at.set(n, b); show(); }); });
        at.delete(n);
        done += long;
        show();
      }
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
    } catch (e) { todo.length = 0; throw e; }
    await stubborn(t, () => send(t, "POST", "complete", { upload, size: t.file.size }));
    forget(t);
  }

  function forget(t) {
    remember(t, null);
    remember({ ...t, key: t.key + "\n#" }, null);
  }

  async function run(t) {
    t.state = "running";
    t.failed = "";
    draw(t);
    try {
      if (t.file.size <= ONE) await stubborn(t, () => send(t, "PUT", "put", { type: t.file.type }, t.file.slice(0), (b) => t.progress(b)));
      else await inParts(t);
      t.state = "done";
      t.progress(t.file.size);
      reloadWhenDone = true;
    } catch (e) {
      t.state = t.cancelled ? "cancelled" : "failed";
      t.failed = e.message;
      for (const x of t.requests) x.abort();
    }
    draw(t);
  }

  function pump() {
    while (running < FILES && queue.length) {
      const t = queue.shift();
      if (t.cancelled) continue;
      running++;
      run(t).then(() => { running--; pump(); });
    }
    tell();
  }

  function tell() {
    const of = (s) => all.filter((t) => t.state === s).length;
    const busy = running + queue.length, bytes = all.reduce((n, t) => n + t.loaded, 0), total = all.reduce((n, t) => n + (t.state === "cancelled" ? 0 : t.file.size), 0);
    sum.textContent = busy ? `${of("done")} of ${all.length} done, ${size(bytes)} of ${size(total)}` : `${of("done")} done` + (of("failed") ? `, ${of("failed")} failed` : "") + (of("cancelled") ? `, ${of("cancelled")} cancelled` : "");
    stop.hidden = !busy;
    close.hidden = !!busy;
    retry.hidden = !of("failed");
    if (!busy && reloadWhenDone && !of("failed")) { reloadWhenDone = false; refresh(); }
  }

  // The list behind the transfers shows what came, without taking the transfers away.
  async function refresh() {
    try {
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      const fresh = page.getElementById("selection"), old = el("selection") || box.querySelector(".drop-zone-card");
      if (fresh && old) old.replaceWith(document.importNode(fresh, true));
      for (const sel of [".page-head"]) {
        const now = document.querySelector(sel), then = page.querySelector(sel);
        if (now && then) now.replaceWith(document.importNode(then, true));
      }
    } catch { /* the next load shows it */ }
  }

  function draw(t) {
    t.row.className = t.state;
    t.button.textContent = t.state === "running" || t.state === "waiting" ? "Cancel" : t.state === "failed" ? "Try again" : "";
    t.button.hidden = t.button.textContent === "";
    t.note.textContent = t.state === "failed" ? t.failed : t.state === "done" ? "there" : t.state === "cancelled" ? "cancelled" : t.state === "waiting" ? "waits" : t.note.textContent;
    tell();
  }

  function again(t) {
    t.cancelled = false;
    t.state = "waiting";
    queue.push(t);
    draw(t);
    pump();
  }

  function cancel(t) {
    t.cancelled = true;
    for (const x of t.requests) x.abort();
    if (t.wake) t.wake();
    if (t.state === "waiting") { t.state = "cancelled"; draw(t); }
    const upload = t.upload || remembered(t);
    if (upload) send(t, "POST", "abort", { upload }).catch(() => {});
    forget(t);
  }

  function add(path, file) {
    const row = document.createElement("li"), name = document.createElement("div"), bar = document.createElement("progress"), note = document.createElement("span"), button = document.createElement("button");
    const t = { key: prefix + path, file, row, note, button, state: "waiting", loaded: 0, failed: "", upload: "", cancelled: false, requests: new Set(), wake: null,
      trouble: "",
      say: (text) => { t.trouble = text; note.textContent = text || `${size(t.loaded)} of ${size(file.size)}`; },
      progress: (n) => { t.loaded = Math.min(n, file.size); bar.value = file.size ? t.loaded / file.size : 1; if (!t.trouble) t.say(""); tell(); } };
    name.className = "transfer-name";
    name.textContent = path;
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", path);
    note.className = "transfer-note";
    button.type = "button";
    button.className = "button small";
    button.addEventListener("click", () => t.state === "failed" ? again(t) : cancel(t));
    row.append(name, bar, note, button);
    list.append(row);
    all.push(t);
    queue.push(t);
    draw(t);
  }

  function take(files) {
    if (!files.length) return;
    card.hidden = false;
    for (const f of files) add(f.path, f.file);
    pump();
    card.scrollIntoView({ block: "nearest" });
  }

  for (const [button, input] of [["choose-files", "file-input"], ["choose-folder", "folder-input"]]) {
    el(button).addEventListener("click", () => el(input).click());
    el(input).addEventListener("change", () => {
      const files = [...el(input).files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
      el(input).value = "";
      take(files);
    });
  }
  retry.addEventListener("click", () => { for (const t of all) if (t.state === "failed") again(t); });
  stop.addEventListener("click", () => { for (const t of all) if (t.state === "running" || t.state === "waiting") cancel(t); queue.length = 0; tell(); });
  close.addEventListener("click", () => { list.replaceChildren(); all.length = 0; card.hidden = true; });
  addEventListener("beforeunload", (e) => { if (running && navigator.userActivation && navigator.userActivation.hasBeenActive) e.preventDefault(); });

  let over = 0;
  const zone = document.querySelector("main");
  const carries = (e) => e.dataTransfer && [...e.dataTransfer.types].includes("Files");
  addEventListener("dragenter", (e) => { if (carries(e)) { over++; zone.classList.add("dropping"); } });
  addEventListener("dragleave", (e) => { if (carries(e) && --over <= 0) { over = 0; zone.classList.remove("dropping"); } });
  addEventListener("dragover", (e) => { if (carries(e)) e.preventDefault(); });
  addEventListener("drop", async (e) => {
    if (!carries(e)) return;
    e.preventDefault();
    over = 0;
    zone.classList.remove("dropping");
    const entries = [...e.dataTransfer.items].map((i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
    const plain = [...e.dataTransfer.files];
    if (!entries.length) return take(plain.map((file) => ({ path: file.name, file })));
    const found = [];
    const walk = async (entry, at) => {
      if (entry.isFile) return void found.push({ path: at + entry.name, file: await new Promise((ok, bad) => entry.file(ok, bad)) });
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((ok, bad) => reader.readEntries(ok, bad));
        if (some.length === 0) return;
        for (const child of some) await walk(child, at + entry.name + "/");
      }
    };
    try {
      for (const entry of entries) await walk(entry, "");
    } catch (err) { card.hidden = false; sum.textContent = "It cannot be read: " + err.message; }
    take(found);
  });
}
