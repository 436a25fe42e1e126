// Passkeys: the browser asks its authenticator, and the form takes the answer to the cloud.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const plain = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const button = form.querySelector("button"), say = form.querySelector("[role=status]");
  if (!window.PublicKeyCredential) { say.textContent = "This browser has no passkeys."; continue; }
  button.hidden = false;
  form.addEventListener("submit", async (e) => {
    if (form.elements.answer.value) return;
    e.preventDefault();
    button.disabled = true;
    say.textContent = "Confirm it on your device…";
    try {
      const ask = JSON.parse(form.dataset.options);
      ask.challenge = bytes(ask.challenge);
      for (const list of [ask.allowCredentials, ask.excludeCredentials]) for (const c of list || []) c.id = bytes(c.id);
      const make = form.dataset.passkey === "create";
      if (make) ask.user.id = bytes(ask.user.id);
      const got = await (make ? navigator.credentials.create({ publicKey: ask }) : navigator.credentials.get({ publicKey: ask }));
      const r = got.response, response = { clientDataJSON: plain(r.clientDataJSON) };
      if (make) {
        response.attestationObject = plain(r.attestationObject);
        response.transports = r.getTransports ? r.getTransports() : [];
      } else {
        response.authenticatorData = plain(r.authenticatorData);
        response.signature = plain(r.signature);
        if (r.userHandle) response.userHandle = plain(r.userHandle);
      }
      form.elements.answer.value = JSON.stringify({ id: got.id, rawId: plain(got.rawId), type: got.type, clientExtensionResults: got.getClientExtensionResults(), response });
      form.submit();
    } catch (err) {
      button.disabled = false;
      say.textContent = err.name === "InvalidStateError" ? "This authenticator is registered already." : "It was not confirmed. Try again, or use another way.";
    }
  });
}
