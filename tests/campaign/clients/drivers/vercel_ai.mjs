// The Vercel AI SDK, with its provider for what speaks as OpenAI does.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import * as checks from "./checks.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const gateway = createOpenAICompatible({
  name: "gateway",
  baseURL: `${checks.GATEWAY}/v1`,
  apiKey: "unused",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const place = z.object({ country: z.enum(checks.COUNTRIES), large: z.boolean() });

await checks.run({
  async plain() {
    const { text } = await generateText({ model: gateway(checks.SCRIPTED), prompt: checks.PLAIN });
    assert.equal(text, checks.PLAIN_ANSWER);
  },

  async streamed() {
    const result = streamText({ model: gateway(checks.SCRIPTED), prompt: checks.STREAMED });
    let text = "";
    for await (const delta of result.textStream) {
      text += delta;
    }
    assert.equal(text, checks.STREAMED_ANSWER);
    assert.equal((await result.usage).outputTokens, checks.STREAMED_ANSWER.length + 1);
  },

  async tools() {
    const asked = [];
    const result = streamText({
      model: gateway(checks.SCRIPTED),
      prompt: checks.WEATHER,
      stopWhen: isStepCount(2),
      tools: {
        get_weather: tool({
          description: "Say the weather.",
          inputSchema: z.object({ city: z.string() }),
          execute: async ({ city }) => {
            asked.push(city);
            return checks.WEATHER_RESULT;
          },
        }),
      },
    });
    assert.equal(await result.text, checks.WEATHER_ANSWER);
    assert.deepEqual(asked, ["Paris"]);

    const demanded = await generateText({
      model: gateway(checks.CONSTRAINED),
      prompt: checks.PLACE,
      toolChoice: "required",
      tools: { place: tool({ inputSchema: place }) },
    });
    assert.ok(checks.COUNTRIES.includes(demanded.toolCalls[0].input.country));
  },

  async structured() {
    const { output } = await generateText({
      model: gateway(checks.CONSTRAINED),
      prompt: checks.PLACE,
      output: Output.object({ schema: place }),
    });
    assert.ok(checks.COUNTRIES.includes(output.country));
  },

  async error() {
    const asking = () => generateText({ model: gateway(checks.NOBODY), prompt: checks.PLAIN, maxRetries: 0 });
    await checks.raised(APICallError, asking, `\`${checks.NOBODY}\``);
  },

  async broken() {
    const result = streamText({ model: gateway(checks.SCRIPTED), prompt: checks.BROKEN, onError() {} });
    let text = "";
    const errors = [];
    for await (const part of result.fullStream) {
      if (part.type === "text-delta") {
        text += part.text;
      } else if (part.type === "error") {
        errors.push(String(part.error?.message ?? part.error));
      }
    }
    assert.equal(text, checks.BROKEN_BEGINNING);
    assert.equal(errors.length, 1);
    assert.ok(errors[0].includes("engine"), errors[0]);
  },

  async cancelled() {
    const before = await checks.departures();
    const leaving = new AbortController();
    const result = streamText({
      model: gateway(checks.SCRIPTED),
      prompt: checks.SLOW,
      abortSignal: leaving.signal,
      onError() {},
    });
    for await (const _ of result.textStream) {
      leaving.abort();
      break;
    }
    await checks.seenToLeave(before);
  },
});
