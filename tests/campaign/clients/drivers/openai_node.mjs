// The official `openai` package for Node.

import assert from "node:assert/strict";
import OpenAI from "openai";
import * as checks from "./checks.mjs";

const client = new OpenAI({ baseURL: `${checks.GATEWAY}/v1`, apiKey: "unused", maxRetries: 0, timeout: 60_000 });
const ask = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const place = {
  type: "object",
  properties: { country: { type: "string", enum: checks.COUNTRIES }, large: { type: "boolean" } },
  required: ["country", "large"],
  additionalProperties: false,
};

await checks.run({
  async plain() {
    const completion = await client.chat.completions.create({ model: checks.SCRIPTED, messages: ask(checks.PLAIN) });
    assert.equal(completion.choices[0].message.content, checks.PLAIN_ANSWER);
    assert.equal(completion.choices[0].finish_reason, "stop");
  },

  async streamed() {
    const stream = client.chat.completions.stream({
      model: checks.SCRIPTED,
      messages: ask(checks.STREAMED),
      stream_options: { include_usage: true },
    });
    let text = "";
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
    }
    assert.equal(text, checks.STREAMED_ANSWER);
    assert.equal((await stream.totalUsage()).completion_tokens, checks.STREAMED_ANSWER.length + 1);
  },

  async tools() {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: checks.SCRIPTED,
      messages: ask(checks.WEATHER),
      stream: true,
      tools: [{
        type: "function",
        function: {
          name: "get_weather",
          parameters,
          parse: JSON.parse,
          function: ({ city }) => {
            asked.push(city);
            return checks.WEATHER_RESULT;
          },
        },
      }],
    });
    assert.equal(await runner.finalContent(), checks.WEATHER_ANSWER);
    assert.deepEqual(asked, ["Paris"]);
  },

  async structured() {
    const completion = await client.chat.completions.create({
      model: checks.CONSTRAINED,
      messages: ask(checks.PLACE),
      response_format: { type: "json_schema", json_schema: { name: "place", schema: place, strict: true } },
    });
    assert.ok(checks.COUNTRIES.includes(JSON.parse(completion.choices[0].message.content).country));
  },

  async error() {
    const asking = () => client.chat.completions.create({ model: checks.NOBODY, messages: ask(checks.PLAIN) });
    await checks.raised(OpenAI.NotFoundError, asking, `\`${checks.NOBODY}\``);
  },

  async broken() {
    const stream = await client.chat.completions.create({ model: checks.SCRIPTED, messages: ask(checks.BROKEN), stream: true });
    let text = "";
    const reading = async () => {
      for await (const chunk of stream) {
        text += chunk.choices[0].delta.content ?? "";
      }
    };
    await checks.raised(OpenAI.APIError, reading, "engine");
    assert.equal(text, checks.BROKEN_BEGINNING);
  },

  async cancelled() {
    const before = await checks.departures();
    const stream = await client.chat.completions.create({ model: checks.SCRIPTED, messages: ask(checks.SLOW), stream: true });
    await stream[Symbol.asyncIterator]().next();
    stream.controller.abort();
    await checks.seenToLeave(before);
  },
});
