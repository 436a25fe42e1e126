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
    rfb.scaleViewport = true;
    rfb.background = "transparent";
    rfb.addEventListener("connect", () => { state.textContent = "connected"; rfb.focus({ preventScroll: true }); });
    rfb.addEventListener("securityfailure", (e) => { why = e.detail.reason || "the screen refuses"; });
    rfb.addEventListener("disconnect", () => { state.textContent = why || "not connected"; rfb = null; again.hidden = false; });
  }
  const press = (sym) => { if (rfb) rfb.sendKey(sym); };
  const type = (text) => {
    for (const c of text) {
      const n = c.codePointAt(0), turn = shifted.test(c) && rfb;
      if (turn) rfb.sendKey(shift, "ShiftLeft", true);
      press(c === "\n" ? keys.Enter : n < 256 ? n : 0x1000000 + n);
      if (turn) rfb.sendKey(shift, "ShiftLeft", false);
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

const box = document.getElementById("vnc");
if (box) screenOf(box);
