// One chat completion, streamed: what the gateway says, as objects, and its refusals as errors.

const SIGNED_OUT = 401;

/** What the gateway said instead of an answer, or in the middle of one. */
export class Refusal extends Error {
  constructor(message, { status = null, code = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/**
 * Yield the chunks of an answer, in order. `opened` is called with the request's id as soon as it is known.
 *
 * Throws Refusal, and AbortError where the signal stops it: the gateway sees the connection go, and frees the row.
 */
export async function* chat(body, { headers, signal, opened }) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    credentials: "same-origin",
    redirect: "error",
    signal,
  });
  opened(response.headers.get("x-request-id"));
  if (!response.ok) throw await refusalOf(response);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refusal(chunk.error.message, { code: chunk.error.code });
    yield chunk;
  }
  throw new Refusal("The stream broke off before the answer's end.");
}

async function refusalOf(response) {
  const facts = { status: response.status, retryAfter: response.headers.get("retry-after") };
  try {
    if (response.status === SIGNED_OUT) return new Refusal("Your session has ended. Load the page again to sign in.", facts);
    const { error } = await response.json();
    return new Refusal(error.message, { ...facts, code: error.code });
  } catch {
    return new Refusal("The gateway did not say why.", facts);
  }
}

/** Yield the data of each server-sent event; comments, which only keep the connection alive, have none. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      yield* parts.filter((part) => part.startsWith("data: ")).map((part) => part.slice("data: ".length));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
