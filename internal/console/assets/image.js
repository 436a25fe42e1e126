// The content of an image: one file, sent as it is, with how far it is.
"use strict";

const imageBox = document.getElementById("image-upload");
if (imageBox) sendsImage(imageBox);

function sendsImage(box) {
  const el = (id) => document.getElementById("image-" + id);
  const file = el("file"), send = el("send"), stop = el("stop"), bar = el("progress"), state = el("state");
  const size = (n) => { let u = 0; for (; n >= 1024 && u < 5; u++) n /= 1024; return (u && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][u]; };
  box.querySelector(".needs-script").hidden = false;
  let request = null;
  const say = (text, bad) => { state.textContent = text; state.className = bad ? "field-error" : "quiet"; };
  addEventListener("beforeunload", (e) => { if (request) e.preventDefault(); });
  const end = (text) => { request = null; send.disabled = file.disabled = false; stop.hidden = bar.hidden = true; say(text, true); };

  send.addEventListener("click", () => {
    const f = file.files[0];
    if (!f) { say("Choose a file first.", true); file.focus(); return; }
    const x = request = new XMLHttpRequest(), began = Date.now();
    send.disabled = file.disabled = true;
    stop.hidden = bar.hidden = false;
    bar.value = 0;
    say("beginning…");
    x.open("PUT", box.dataset.to);
    x.setRequestHeader("X-Csrf", box.dataset.csrf);
    x.setRequestHeader("Content-Type", "application/octet-stream");
    x.upload.addEventListener("progress", (p) => {
      bar.value = p.loaded / p.total * 100;
      const rate = p.loaded / Math.max(1, (Date.now() - began) / 1000);
      say(p.loaded < p.total ? `${size(p.loaded)} of ${size(p.total)}, ${size(rate)}/s` : "all of it is sent; the cloud looks into it…");
    });
    x.addEventListener("load", () => {
      if (x.status < 300) { request = null; location.reload(); return; }
      let doc = {};
      try { doc = JSON.parse(x.responseText); } catch { /* no words of ours */ }
      end((doc.message || "the cloud answered " + x.status) + (doc.next ? ". " + doc.next : ""));
    });
    x.addEventListener("error", () => end("The connection broke off. Send it again."));
    x.addEventListener("abort", () => end("Cancelled."));
    x.send(f);
  });
  stop.addEventListener("click", () => request && request.abort());
}
