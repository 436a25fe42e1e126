// A server's screen in the browser: noVNC speaks RFB over the WebSocket that the console carries, this joins it to the page.
"use strict";

const keys = { Enter: 0xff0d, Tab: 0xff09, Escape: 0xff1b, Backspace: 0xff08, Up: 0xff52, Down: 0xff54 };
const shift = 0xffe1, shifted = /^[A-Z~!@#$%^&*()_+{}|:"<>?]$/; // as a US keyboard has them, which the screen's side expects

async function screenOf(box) {
  const state = document.getElementById("vnc-state"), again = document.getElementById("vnc-again"), line = document.getElementById("vnc-line"), full = document.getElementById("vnc-full");
  const { default: RFB, initLogging } = await import(box.dataset.novnc);
  initLogging("none"); // why a screen ended stands on the page
  let rfb = null;
  for (const e of document.querySelectorAll(".needs-script")) e.hidden = e === again;

  function connect() {
    again.hidden = true;
    state.textContent = "connecting…";
    let why = "";
    const ws = new WebSocket(location.origin.replace(/^http/, "ws") + box.dataset.vnc);
    ws.addEventListener("close", (e) => { why = e.reason || why; }); // before noVNC hears of it
    rfb = new RFB(box, ws, { shared: true });
    shiftItself(rfb);
    rfb.scaleViewport = true;
    rfb.background = "transparent";
    rfb.addEventListener("connect", () => { state.textContent = "connected"; rfb.focus({ preventScroll: true }); });
    rfb.addEventListener("securityfailure", (e) => { why = e.detail.reason || "the screen refuses"; });
    rfb.addEventListener("disconnect", () => { state.textContent = why || "not connected"; rfb = null; again.hidden = false; });
  }
  const press = (sym) => { if (rfb) rfb.sendKey(sym); };
  const type = (text) => {
    for (const c of text) {
      const n = c.codePointAt(0);
      press(c === "\n" ? keys.Enter : n < 256 ? n : 0x1000000 + n);
    }
  };
  // the screen takes every key while it has the focus, but these: they lead out of it
  box.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || !e.ctrlKey || !e.shiftKey) return;
    e.preventDefault();
    e.stopPropagation();
    if (rfb) rfb.blur();
    document.querySelector("[data-sym]").focus();
  }, true);
  box.addEventListener("paste", (e) => { e.preventDefault(); type(e.clipboardData.getData("text").replace(/\r\n?/g, "\n")); });
  again.addEventListener("click", connect);
  document.getElementById("vnc-cad").addEventListener("click", () => { if (rfb) { rfb.sendCtrlAltDel(); rfb.focus(); } });
  for (const b of document.querySelectorAll("[data-sym]")) b.addEventListener("click", () => press(keys[b.dataset.sym]));
  line.addEventListener("keydown", (e) => { if (e.key === "Enter") { e.preventDefault(); type(line.value + "\n"); line.value = ""; } });
  if (document.fullscreenEnabled) full.addEventListener("click", () => box.requestFullscreen().then(() => rfb && rfb.focus(), () => {}));
  else full.hidden = true;
  addEventListener("pagehide", () => { if (rfb) rfb.disconnect(); });
  connect();
}

// The screen's side knows keys, not letters: a capital that comes without a shift key (a phone's keyboard, a pasted or sent
// line) would arrive in lower case. Keys of a real keyboard have a code, and their own shift.
function shiftItself(rfb) {
  const send = rfb.sendKey.bind(rfb);
  let held = false;
  rfb.sendKey = (sym, code, down) => {
    if (sym === shift || sym === shift + 1) held = down !== false;
    const turn = !held && (!code || code === "Unidentified") && down !== false && sym < 256 && shifted.test(String.fromCodePoint(sym));
    if (turn) send(shift, "ShiftLeft", true);
    send(sym, code, down);
    if (turn) send(shift, "ShiftLeft", false);
  };
}

const box = document.getElementById("vnc");
if (box) screenOf(box);
