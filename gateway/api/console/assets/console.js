// What all pages share: the proof that a request is theirs, the dialog, and live parts that rest while nobody looks.

const token = document.querySelector('meta[name="csrf-token"]')?.content;
const dialog = document.querySelector("#dialog");
const live = document.querySelector("#live");
const lost = document.querySelector("#lost");
const announcer = document.querySelector("#announcer");
let said = live?.querySelector("[data-summary]")?.dataset.summary;

document.addEventListener("htmx:configRequest", (event) => {
  if (token) event.detail.headers["x-csrf-token"] = token;
});

// --- the dialog ---

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === dialog && !dialog.open) dialog.showModal();
  if (event.detail.target === dialog) dialog.querySelector("[autofocus]")?.focus();
  if (event.detail.target === live) announce();
});
dialog.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) dialog.close();
});
dialog.addEventListener("close", () => {
  if (live) refresh();
  else if (dialog.querySelector("[data-changed]")) location.reload();
});

// --- live parts ---

/** Fetch the live part anew, unless nobody can see it. */
function refresh() {
  if (live && !document.hidden && !dialog.open) window.htmx.trigger(live, "refresh");
}

/** Tell a screen reader what serves and whether it is ready, when that has changed. */
function announce() {
  const summary = live.querySelector("[data-summary]").dataset.summary;
  if (summary !== said) announcer.textContent = said = summary;
}

/** Keep what is shown when a refresh fails, and say so. */
function showLost(message) {
  lost.textContent = message;
  lost.hidden = message === "";
}

if (live) {
  live.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target !== live) return;
    const failed = event.detail.xhr.status >= 400;
    if (failed) event.detail.shouldSwap = false;
    showLost(failed ? `The gateway answered ${event.detail.xhr.status}; what is shown may be old.` : "");
  });
  live.addEventListener("htmx:sendError", () => showLost("The gateway does not answer; what is shown may be old."));
  setInterval(refresh, live.dataset.everyS * 1000);
  document.addEventListener("visibilitychange", refresh);
}
