// One side of the playground: a variant's conversation, and the figures of each of its answers.

import { Refusal, chat } from "./playground.stream.js";

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const DELETE = 0x7f;
const PICTURES = 0x2400;
const PICTURE_OF_DELETE = "\u2421";

/** Show control characters, such as a terminal's escapes, as the pictures that Unicode has for them. */
function visible(text) {
  return text.replace(CONTROLS, (control) => {
    const code = control.charCodeAt(0);
    return code === DELETE ? PICTURE_OF_DELETE : String.fromCharCode(PICTURES + code);
  });
}

export class Pane {
  #element;
  #turns;
  #turnTemplate;
  #history = [];
  #turn = null;

  constructor(element, turnTemplate) {
    this.#element = element;
    this.name = element.dataset.pane;
    this.variant = element.dataset.variant;
    this.#turns = element.querySelector(".turns");
    this.#turnTemplate = turnTemplate;
  }

  /** Where the page says whether the variant is loaded. */
  get engine() {
    return this.#element.querySelector(".engine");
  }

  /** The text of the last answer, where one came to its end. */
  get answer() {
    return this.#turn?.ended ? this.#turn.text : null;
  }

  /** Whether the last question was refused, or its answer broke off. */
  get failed() {
    return this.#turn?.failed ?? false;
  }

  forget() {
    this.#history = [];
    this.#turn = null;
    this.#turns.replaceChildren();
  }

  /**
   * Ask, show what comes as it comes, and return in one sentence how it ended.
   *
   * A question without an answer is no part of the conversation, so that it may be asked again.
   */
  async ask(question, { model, system, options, headers, signal }) {
    const asked = { role: "user", content: question };
    const turn = new Turn(this.#turnTemplate, question);
    this.#turn = turn;
    this.#turns.append(turn.element);
    this.#follow();
    const before = system ? [{ role: "system", content: system }] : [];
    const body = { model, messages: [...before, ...this.#history, asked], ...options };
    try {
      const opened = (id) => turn.showRequest(id);
      for await (const chunk of chat(body, { headers: { ...headers, "x-gateway-variant": this.variant }, signal, opened })) {
        turn.add(chunk);
        this.#follow();
      }
      turn.end();
    } catch (error) {
      turn.fail(error);
    }
    this.#follow();
    if (turn.message) this.#history.push(asked, turn.message);
    return `${this.name}: ${turn.ending}`;
  }

  /** Mark the words of the last answer that the other one has not. */
  mark(runs) {
    this.#turn.mark(runs);
  }

  /** Keep the end in sight, unless the reader has scrolled away from it. */
  #follow() {
    const { scrollHeight, scrollTop, clientHeight } = this.#turns;
    if (this.#turn.isNew || scrollHeight - scrollTop - clientHeight < clientHeight / 2) this.#turns.scrollTop = scrollHeight;
    this.#turn.isNew = false;
  }
}

class Turn {
  #began = performance.now();
  #first = null;
  #last = null;
  #finish = null;
  #usage = null;
  #calls = [];

  constructor(template, question) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.text = "";
    this.ended = false;
    this.failed = false;
    this.ending = "";
    this.isNew = true;
    this.#at("question").textContent = visible(question);
    this.#show("state", "Waiting for the first token");
  }

  /** What the next request repeats of this turn; null where it failed, or was stopped before it said anything. */
  get message() {
    const saidNothing = !this.text && this.#calls.length === 0;
    if (this.failed || (saidNothing && !this.ended)) return null;
    const calls = this.#calls.map(({ id, type, function: called }) => ({ id, type, function: called }));
    return { role: "assistant", content: this.text, ...(calls.length > 0 && { tool_calls: calls }) };
  }

  showRequest(id) {
    if (!id) return;
    const link = this.#at("request").querySelector("a");
    link.textContent = id;
    link.href = `/requests?find=${encodeURIComponent(id)}`;
    this.#at("request").hidden = false;
  }

  add({ choices, usage }) {
    if (usage) this.#usage = usage;
    for (const { delta, finish_reason: finish } of choices) {
      if (delta.reasoning_content) this.#reason(delta.reasoning_content);
      if (delta.content) this.#say(delta.content);
      if (delta.tool_calls) this.#call(delta.tool_calls);
      if (finish) this.#finish = finish;
    }
  }

  end() {
    this.ended = true;
    this.#figures();
    const { completion_tokens: tokens } = this.#usage;
    this.ending = `ended (${this.#finish}) after ${tokens} tokens.`;
    if (this.text || this.#calls.length > 0) this.#at("state").hidden = true;
    else this.#show("state", "The answer has no text.");
  }

  fail(error) {
    this.#figures();
    if (error.name === "AbortError") {
      this.ending = "stopped.";
      this.#show("state", "Stopped");
      return;
    }
    this.failed = true;
    const refusal = error instanceof Refusal ? error : new Refusal("The connection to the gateway was lost.");
    this.ending = `failed. ${refusal.message}`;
    this.#at("state").hidden = true;
    this.#show("problem-text", refusal.message);
    const facts = [refusal.status && `HTTP ${refusal.status}`, refusal.code, refusal.retryAfter && `again in ${refusal.retryAfter} s`];
    this.#show("problem-facts", facts.filter(Boolean).join(" · "));
    this.#at("problem").hidden = false;
  }

  mark(runs) {
    const nodes = runs.flatMap(({ text, common }) => {
      if (common) return [visible(text)];
      const mark = document.createElement("mark");
      mark.textContent = visible(text.trimEnd());
      return [mark, text.slice(text.trimEnd().length)];
    });
    this.#at("answer").replaceChildren(...nodes);
  }

  #reason(text) {
    this.#came();
    this.#at("reasoning").hidden = false;
    this.#append("reasoning-text", text);
  }

  #say(text) {
    this.#came();
    this.text += text;
    this.#append("answer", text);
  }

  #call(calls) {
    this.#came();
    this.#calls.push(...calls);
    const shown = this.#calls.map(({ function: { name, arguments: given } }) => ({ name, arguments: parsed(given) }));
    this.#show("calls", JSON.stringify(shown, null, 2));
  }

  #came() {
    this.#last = performance.now();
    if (this.#first !== null) return;
    this.#first = this.#last;
    this.#figure("first-token", `${(this.#first - this.#began).toFixed(0)} ms`);
    this.#show("state", "Streaming");
  }

  #figures() {
    const usage = this.#usage;
    if (this.#finish) this.#figure("finish", this.#finish);
    if (!usage) return;
    const tokens = usage.completion_tokens;
    const reasoning = usage.completion_tokens_details?.reasoning_tokens;
    this.#figure("completion", reasoning ? `${tokens}, ${reasoning} of them reasoning` : `${tokens}`);
    this.#figure("prompt", `${usage.prompt_tokens}, ${usage.prompt_tokens_details?.cached_tokens ?? 0} of them cached`);
    const seconds = (this.#last - this.#first) / 1000;
    if (tokens > 1 && seconds > 0) this.#figure("rate", `${((tokens - 1) / seconds).toFixed(1)} a second`);
  }

  #figure(part, text) {
    this.#show(part, text);
    this.#at(part).parentElement.hidden = false;
  }

  #append(part, text) {
    const at = this.#at(part);
    if (!at.firstChild) at.append("");
    at.firstChild.appendData(visible(text));
  }

  #show(part, text) {
    this.#at(part).textContent = visible(text);
    this.#at(part).hidden = false;
  }

  #at(part) {
    return this.element.querySelector(`[data-part="${part}"]`);
  }
}

/** Return what the JSON says, and what is no JSON as it stands. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
