// The playground: one question to the incumbent and the candidate at the same time, until both have answered.

import { difference } from "./playground.diff.js";
import { Pane } from "./playground.pane.js";

const LOW = 0.8; // of the window's height: panes that begin below are brought into sight
const FIRST_ERROR = 400;
const GLANCE_MS = 3000;
const NUMBERS = ["temperature", "top_p", "max_completion_tokens", "seed"];

const form = document.querySelector("#question");
const status = document.querySelector("#status");
const token = document.querySelector('meta[name="csrf-token"]')?.content;
let bench = null;
let panes = [];
let running = null;
let pending = null;

/** Take the panes that the page shows now; those of another choice begin a new conversation. */
function takeBench() {
  const shown = document.querySelector("#panes");
  if (shown === bench) return;
  running?.abort();
  bench = shown;
  history.replaceState(null, "", `?${new URLSearchParams(new FormData(document.querySelector("#choice")))}`);
  const template = document.querySelector("#turn");
  panes = [...bench.querySelectorAll("[data-pane]")].map((element) => new Pane(element, template));
  showDifference();
}

async function send() {
  const question = form.elements.message.value;
  const asked = { ...request(), signal: start() };
  const asking = panes;
  form.elements.message.value = "";
  say(asking.length > 1 ? "Asked both." : "Asked.");
  if (bench.getBoundingClientRect().top > innerHeight * LOW) status.scrollIntoView();
  const answers = asking.map(async (pane) => {
    const ending = await pane.ask(question, asked);
    say(ending);
    return ending;
  });
  showDifference();
  const endings = await Promise.all(answers);
  finish();
  if (asking !== panes) return;
  if (panes.every((pane) => pane.failed)) form.elements.message.value ||= question;
  showDifference();
  say(endings.join(" "));
  // The first question loads what was not.
  for (const pane of panes) refreshEngine(pane, "absent", "coming");
}

/** Return what each pane sends beside its own variant and conversation. */
function request() {
  const fields = form.elements;
  const options = {};
  for (const name of NUMBERS) if (fields[name].value !== "") options[name] = fields[name].valueAsNumber;
  const switches = [...form.querySelectorAll("[data-switch]")].filter((field) => field.value !== "");
  if (switches.length > 0) {
    options.chat_template_kwargs = Object.fromEntries(switches.map(({ dataset, value }) => [dataset.switch, value === "on"]));
  }
  if (fields.tools.value.trim()) options.tools = JSON.parse(fields.tools.value);
  return {
    model: bench.dataset.model,
    system: fields.system.value,
    headers: token ? { "x-csrf-token": token } : {},
    options,
  };
}

function start() {
  running = new AbortController();
  toggle({ running: true });
  return running.signal;
}

function finish() {
  running = null;
  toggle({ running: false });
}

/** Show anew whether a variant is loaded, where that has one of these words. */
function refreshEngine({ name, engine }, ...words) {
  if (!words.includes(engine.dataset.presence)) return;
  window.htmx.ajax("GET", location.href, { target: engine, swap: "outerHTML", select: `[data-pane="${name}"] .engine` });
}

/** Say how a load ended, and keep the keyboard's place, which went with the button. */
function loaded(engine) {
  say(`${engine.closest("[data-pane]").dataset.pane}: ${engine.innerText}`);
  if (document.activeElement === document.body) form.elements.message.focus();
}

/** Both buttons stay reachable, so that the keyboard never loses its place. */
function toggle({ running: isRunning }) {
  form.querySelector("#send").setAttribute("aria-disabled", isRunning);
  form.querySelector("#stop").setAttribute("aria-disabled", !isRunning);
}

function showDifference() {
  const shown = document.querySelector("#difference");
  const [left, right] = panes.map((pane) => pane.answer);
  const wanted = document.querySelector("#mark").checked;
  const found = left != null && right != null ? difference(left, right) : undefined;
  shown.hidden = found === undefined;
  if (shown.hidden) return;
  shown.querySelector("output").textContent = inWords(found);
  if (found === null) return;
  panes[0].mark(wanted ? found.left : plain(left));
  panes[1].mark(wanted ? found.right : plain(right));
}

function inWords(found) {
  if (found === null) return "The answers are too long to compare word by word.";
  const { shared, left, right } = found.words;
  if (left + right === 0) return "Both say the same, word for word.";
  return `Words in common: ${shared}. Only the incumbent's: ${left}. Only the candidate's: ${right}.`;
}

const plain = (text) => [{ text, common: true }];

function say(words) {
  status.textContent = words;
}

function checkTools() {
  const field = form.elements.tools;
  field.setCustomValidity("");
  if (!field.value.trim()) return;
  try {
    if (!Array.isArray(JSON.parse(field.value))) field.setCustomValidity("This must be a JSON array of tools.");
  } catch (error) {
    field.setCustomValidity(`This is no JSON: ${error.message}`);
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) pending = send();
});
form.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), { capture: true });
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});
form.elements.tools.addEventListener("input", checkTools);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
document.querySelector("#stop").addEventListener("click", () => running?.abort());
document.querySelector("#anew").addEventListener("click", async () => {
  running?.abort();
  await pending;
  panes.forEach((pane) => pane.forget());
  showDifference();
  say("A new conversation.");
});
document.querySelector("#mark").addEventListener("change", showDifference);
document.body.addEventListener("htmx:afterSettle", ({ detail }) => {
  takeBench();
  if (detail.elt.matches(".engine") && detail.requestConfig.verb === "post") loaded(detail.elt);
});
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // What is shown stays, where the page could not be had anew; why a load failed is shown.
  if (detail.requestConfig.verb !== "get" || detail.xhr.status < FIRST_ERROR) return;
  detail.shouldSwap = false;
  if (detail.target.id === "choice") say("The choice could not be shown. Load the page again.");
});
setInterval(() => {
  if (document.hidden) return;
  for (const pane of panes) refreshEngine(pane, "coming");
}, GLANCE_MS);
takeBench();
