// What a driver needs: the gateway's address, what is asked there, and one line of JSON for each check.
// The same as checks.py, for Node.

import assert from "node:assert/strict";

export const [GATEWAY, ...ARGUMENTS] = process.argv.slice(2);
export const SCRIPTED = "scripted";
export const CONSTRAINED = "constrained";
export const NOBODY = "nobody";

export const PLAIN = "What is the capital of France?";
export const PLAIN_ANSWER = "Paris.";
export const STREAMED = "Count to three.";
export const STREAMED_ANSWER = "One, two, three.";
export const WEATHER = "How is the weather in Paris?";
export const WEATHER_RESULT = "22 degrees";
export const WEATHER_ANSWER = "It is 22 degrees.";
export const PLACE = "Where is Paris?";
export const COUNTRIES = ["France", "Spain"];
export const BROKEN = "Break off.";
export const BROKEN_BEGINNING = "This br";
export const SLOW = "Count slowly.";
const SEEN_WITHIN_MS = 30_000;

export async function run(checks) {
  for (const [check, act] of Object.entries(checks)) {
    try {
      const remark = (await act()) ?? null;
      console.log(JSON.stringify({ check, passed: true, remark }));
    } catch (error) {
      const remark = `${error.name}: ${error.message}`.slice(0, 400);
      console.log(JSON.stringify({ check, passed: false, remark }));
    }
  }
}

export async function raised(errorType, ask, said) {
  await assert.rejects(ask, (error) => {
    assert.ok(error instanceof errorType, `${error.name} is no ${errorType.name}: ${error.message}`);
    assert.ok(error.message.includes(said), `${said} is not in ${error.message}`);
    return true;
  });
}

export async function departures() {
  const answer = await fetch(`${GATEWAY}/metrics`);
  const lines = (await answer.text()).split("\n");
  return lines
    .filter((line) => line.startsWith("gateway_requests_total{") && line.includes('status="499"'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

export async function seenToLeave(before) {
  const deadline = Date.now() + SEEN_WITHIN_MS;
  while ((await departures()) <= before) {
    assert.ok(Date.now() < deadline, "the gateway has not seen the client leave");
    await new Promise((resume) => setTimeout(resume, 50));
  }
}
