// A serial console in the browser: a small terminal (what a shell and an editor on a serial line use of a VT100) and the
// WebSocket that its bytes travel by. Styles come from classes, for the pages allow none inline.
"use strict";

function serialConsole(box) {
  const state = document.getElementById("serial-state"), again = document.getElementById("serial-again"), line = document.getElementById("serial-line");
  const term = new Term(box.querySelector("pre"), box, (s) => send(s));
  let ws = null;
  term.write(box.querySelector("pre").textContent.replace(/\n/g, "\r\n"));
  for (const e of document.querySelectorAll(".needs-script")) e.hidden = e === again;

  const send = (s) => { if (ws && ws.readyState === 1) ws.send(new TextEncoder().encode(s)); };
  function connect() {
    again.hidden = true;
    state.textContent = "connecting…";
    let why = "";
    ws = new WebSocket(location.origin.replace(/^http/, "ws") + box.dataset.serial);
    ws.binaryType = "arraybuffer";
    const decoder = new TextDecoder();
    ws.addEventListener("open", () => { state.textContent = "connected"; });
    ws.addEventListener("message", (m) => {
      if (typeof m.data !== "string") { term.write(decoder.decode(m.data, { stream: true })); return; }
      const doc = JSON.parse(m.data);
      why = doc.message + (doc.next ? ". " + doc.next : "");
    });
    ws.addEventListener("close", () => { state.textContent = why || "not connected"; again.hidden = false; });
  }
  again.addEventListener("click", () => { connect(); box.focus(); });
  addEventListener("pagehide", () => ws.close());

  const arrow = (c) => "\x1b" + (term.appKeys ? "O" : "[") + c;
  const named = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", Home: "\x1b[H", End: "\x1b[F", Insert: "\x1b[2~", Delete: "\x1b[3~", PageUp: "\x1b[5~", PageDown: "\x1b[6~" };
  box.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && e.ctrlKey && e.shiftKey) { e.preventDefault(); again.hidden ? document.querySelector("[data-keys]").focus() : again.focus(); return; }
    let out = "";
    if (e.key.startsWith("Arrow")) out = arrow({ Up: "A", Down: "B", Right: "C", Left: "D" }[e.key.slice(5)]);
    else if (named[e.key] && !e.ctrlKey && !e.metaKey) out = e.key === "Tab" && e.shiftKey ? "\x1b[Z" : named[e.key];
    else if (e.ctrlKey && !e.altKey && !e.metaKey && e.key.length === 1) {
      if (e.shiftKey || e.key === "c" && String(getSelection())) return; // the browser's copy and paste
      if (e.key === "v") return;
      const c = e.key.toUpperCase().charCodeAt(0);
      if (c >= 64 && c < 96) out = String.fromCharCode(c - 64);
    } else if (e.key.length === 1 && !e.metaKey) out = (e.altKey && !e.ctrlKey ? "\x1b" : "") + e.key;
    if (!out) return;
    e.preventDefault();
    e.stopPropagation(); // the page's own keys stay out of it
    send(out);
  });
  box.addEventListener("paste", (e) => { e.preventDefault(); send(e.clipboardData.getData("text").replace(/\r?\n/g, "\r")); });
  for (const b of document.querySelectorAll("[data-keys]")) b.addEventListener("click", () => send(b.dataset.keys));
  line.addEventListener("keydown", (e) => { if (e.key === "Enter") { e.preventDefault(); send(line.value + "\r"); line.value = ""; } });
  connect();
  box.focus({ preventScroll: true });
}

class Term {
  constructor(pre, box, reply) {
    Object.assign(this, { pre, box, reply, cols: 80, rows: 24, keep: 2000, x: 0, y: 0, cls: "", rest: "", appKeys: false, alt: null, saved: [0, 0], top: 0, bottom: 23, wrapNext: false, hidden: false });
    this.back = [];
    this.grid = this.blank();
  }
  blank() { return Array.from({ length: this.rows }, () => this.row()); }
  row() { return Array.from({ length: this.cols }, () => [" ", ""]); }

  write(text) {
    const s = this.rest + text;
    this.rest = "";
    let i = 0;
    while (i < s.length) {
      const c = s[i];
      if (c === "\x1b") {
        const seq = /^\x1b(?:\[([?>=!]?)([\d;]*)[ -/]*([@-~])|\]([^\x07\x1b]*)(?:\x07|\x1b\\)|[()#%][\s\S]|[^[\]()#%])/.exec(s.slice(i, i + 4096));
        if (!seq) { if (s.length - i < 4096) { this.rest = s.slice(i); break; } i++; continue; }
        i += seq[0].length;
        if (seq[3]) this.csi(seq[1], seq[2].split(";").map((n) => n === "" ? NaN : Number(n)), seq[3]);
        else if (seq[4] === undefined) this.esc(seq[0][1]);
        continue;
      }
      i++;
      if (c === "\r") { this.x = 0; this.wrapNext = false; }
      else if (c === "\n" || c === "\v" || c === "\f") this.feed();
      else if (c === "\b") { this.x = Math.max(0, this.x - 1); this.wrapNext = false; }
      else if (c === "\t") this.x = Math.min(this.cols - 1, (this.x & ~7) + 8);
      else if (c >= " " && c !== "\x7f") {
        const whole = String.fromCodePoint(s.codePointAt(i - 1));
        i += whole.length - 1;
        this.put(whole);
      }
    }
    if (!this.drawing) { this.drawing = true; requestAnimationFrame(() => this.draw()); }
  }
  put(c) {
    if (this.wrapNext) { this.x = 0; this.feed(); }
    this.grid[this.y][this.x] = [c, this.cls];
    this.wrapNext = this.x === this.cols - 1;
    if (!this.wrapNext) this.x++;
  }
  feed() {
    this.wrapNext = false;
    if (this.y === this.bottom) this.scroll();
    else if (this.y < this.rows - 1) this.y++;
  }
  scroll() {
    const [gone] = this.grid.splice(this.top, 1);
    this.grid.splice(this.bottom, 0, this.row());
    if (this.top === 0 && !this.alt) {
      this.back.push(gone);
      if (this.back.length > this.keep) this.back.shift();
    }
  }
  insert(at, n) { for (; n-- > 0;) { this.grid.splice(this.bottom, 1); this.grid.splice(at, 0, this.row()); } }
  remove(at, n) { for (; n-- > 0;) { this.grid.splice(at, 1); this.grid.splice(this.bottom, 0, this.row()); } }
  wipe(y, from, to) { for (let x = from; x < to; x++) this.grid[y][x] = [" ", ""]; }
  esc(c) {
    if (c === "7") this.saved = [this.x, this.y];
    else if (c === "8") [this.x, this.y] = this.saved;
    else if (c === "M") { if (this.y === this.top) this.insert(this.top, 1); else this.y = Math.max(0, this.y - 1); }
    else if (c === "D") this.feed();
    else if (c === "E") { this.x = 0; this.feed(); }
    else if (c === "c") { this.grid = this.blank(); this.x = this.y = 0; this.cls = ""; this.top = 0; this.bottom = this.rows - 1; }
  }
  csi(mark, p, f) {
    const n = Math.min(p[0] || 1, 9999), clampX = (v) => Math.max(0, Math.min(this.cols - 1, v)), clampY = (v) => Math.max(0, Math.min(this.rows - 1, v));
    this.wrapNext = false;
    if (mark === "?" && (f === "h" || f === "l")) { for (const m of p) this.mode(m, f === "h"); return; }
    if (mark) return;
    switch (f) {
      case "A": this.y = clampY(this.y - n); break;
      case "B": case "e": this.y = clampY(this.y + n); break;
      case "C": case "a": this.x = clampX(this.x + n); break;
      case "D": this.x = clampX(this.x - n); break;
      case "E": this.x = 0; this.y = clampY(this.y + n); break;
      case "F": this.x = 0; this.y = clampY(this.y - n); break;
      case "G": case "`": this.x = clampX(n - 1); break;
      case "d": this.y = clampY(n - 1); break;
      case "H": case "f": this.y = clampY(n - 1); this.x = clampX((p[1] || 1) - 1); break;
      case "J":
        if (p[0] === 2 || p[0] === 3) this.grid = this.blank();
        else if (p[0] === 1) { for (let y = 0; y < this.y; y++) this.wipe(y, 0, this.cols); this.wipe(this.y, 0, this.x + 1); }
        else { this.wipe(this.y, this.x, this.cols); for (let y = this.y + 1; y < this.rows; y++) this.wipe(y, 0, this.cols); }
        break;
      case "K": this.wipe(this.y, p[0] ? 0 : this.x, p[0] === 1 ? this.x + 1 : this.cols); break;
      case "L": this.insert(this.y, Math.min(n, this.rows)); break;
      case "M": this.remove(this.y, Math.min(n, this.rows)); break;
      case "S": for (let k = Math.min(n, this.rows); k-- > 0;) this.scroll(); break;
      case "T": this.insert(this.top, Math.min(n, this.rows)); break;
      case "P": this.grid[this.y].splice(this.x, n); while (this.grid[this.y].length < this.cols) this.grid[this.y].push([" ", ""]); break;
      case "@": for (let k = Math.min(n, this.cols); k-- > 0;) this.grid[this.y].splice(this.x, 0, [" ", ""]); this.grid[this.y].length = this.cols; break;
      case "X": this.wipe(this.y, this.x, Math.min(this.cols, this.x + n)); break;
      case "r": this.top = clampY((p[0] || 1) - 1); this.bottom = clampY((p[1] || this.rows) - 1); if (this.top >= this.bottom) { this.top = 0; this.bottom = this.rows - 1; } this.x = this.y = 0; break;
      case "s": this.saved = [this.x, this.y]; break;
      case "u": [this.x, this.y] = this.saved; break;
      case "n": if (p[0] === 6) this.reply(`\x1b[${this.y + 1};${this.x + 1}R`); else if (p[0] === 5) this.reply("\x1b[0n"); break;
      case "c": this.reply("\x1b[?1;2c"); break;
      case "m": this.colour(p); break;
    }
  }
  mode(m, on) {
    if (m === 1) this.appKeys = on;
    else if (m === 25) this.hidden = !on;
    else if (m === 1049 || m === 47 || m === 1047) {
      if (on && !this.alt) { this.alt = { grid: this.grid, x: this.x, y: this.y }; this.grid = this.blank(); }
      else if (!on && this.alt) { ({ grid: this.grid, x: this.x, y: this.y } = this.alt); this.alt = null; }
    }
  }
  colour(p) {
    const has = new Set(this.cls.split(" ").filter(Boolean));
    const drop = (head) => { for (const c of has) if (c.startsWith(head)) has.delete(c); };
    for (let i = 0; i < p.length; i++) {
      const n = p[i] || 0;
      if (n === 0) has.clear();
      else if (n === 1) has.add("t-bold");
      else if (n === 22) has.delete("t-bold");
      else if (n === 4) has.add("t-line");
      else if (n === 24) has.delete("t-line");
      else if (n === 7) has.add("t-turn");
      else if (n === 27) has.delete("t-turn");
      else if (n >= 30 && n <= 37 || n >= 90 && n <= 97) { drop("t-f"); has.add("t-f" + n % 10); }
      else if (n === 39) drop("t-f");
      else if (n >= 40 && n <= 47 || n >= 100 && n <= 107) { drop("t-b4"); drop("t-g"); has.add("t-g" + n % 10); }
      else if (n === 49) drop("t-g");
      else if (n === 38 || n === 48) i += p[i + 1] === 5 ? 2 : 4;
    }
    this.cls = [...has].join(" ");
  }
  draw() {
    this.drawing = false;
    const end = this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - 24;
    const some = document.createDocumentFragment();
    const all = this.alt ? this.grid : [...this.back, ...this.grid], cursorRow = all.length - this.rows + this.y;
    all.forEach((cells, r) => {
      const at = r === cursorRow && !this.hidden ? this.x : -1;
      let last = cells.length;
      while (last > at + 1 && cells[last - 1][0] === " " && !cells[last - 1][1]) last--;
      let run = "", cls = "";
      const flush = () => {
        if (!run) return;
        if (cls) { const span = document.createElement("span"); span.className = cls; span.textContent = run; some.append(span); } else some.append(run);
        run = "";
      };
      for (let x = 0; x < last; x++) {
        const want = x === at ? (cells[x][1] + " t-cursor").trim() : cells[x][1];
        if (want !== cls) { flush(); cls = want; }
        run += cells[x][0];
      }
      flush();
      cls = "";
      some.append("\n");
    });
    this.pre.replaceChildren(some);
    if (end) this.box.scrollTop = this.box.scrollHeight;
  }
}

const box = document.getElementById("serial");
if (box) serialConsole(box);
