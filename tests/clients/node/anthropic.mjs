// Messages through the package `@anthropic-ai/sdk` of npm.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

import { ADDRESS, MODEL, active, all, errorOf, run, script, waitUntilIdle } from "./service.mjs";

const client = new Anthropic({ baseURL: ADDRESS, apiKey: "none", maxRetries: 0 });
const tools = [
  { name: "warmth", input_schema: { type: "object", properties: { town: { type: "string" } } } },
  { name: "news", input_schema: { type: "object", properties: {} } },
];

const user = (content) => [{ role: "user", content }];
const ask = (content, fields = {}) =>
  client.messages.create({ model: MODEL, max_tokens: 200, messages: user(content), ...fields });

await run({
  async wholeAnswers() {
    const message = await ask("Why is the sky blue?", { system: "Be brief." });
    assert.equal(message.content[0].text, "Why is the sky blue?");
    assert.equal(message.stop_reason, "end_turn");
    assert(message.usage.input_tokens > 0 && message.usage.output_tokens === 5);
  },

  async streams() {
    const text = script("think is it warm", "answer I look.", 'call warmth {"town": "Oslo"}', "call news {}");
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const stream = client.messages.stream({ model: MODEL, max_tokens: 200, tools, thinking, messages: user(text + "x") });
    const message = await stream.finalMessage();
    assert.deepEqual(message.content.map((block) => block.type), ["thinking", "text", "tool_use", "tool_use"]);
    assert.deepEqual(message.content.slice(2).map((block) => block.input), [{ town: "Oslo" }, {}]);
    const events = await all(await ask("one two", { stream: true }));
    assert.deepEqual([events[0].type, events.at(-1).type], ["message_start", "message_stop"]);
  },

  async toolLoop() {
    const text = script('call warmth {"town": "Oslo"}', "then", 'call warmth {"town": "Rome"}', "then", "answer Rome");
    const messages = user(text);
    const asked = [];
    for (;;) {
      const message = await client.messages.create({ model: MODEL, max_tokens: 200, messages, tools });
      messages.push({ role: "assistant", content: message.content });
      if (message.stop_reason !== "tool_use") {
        assert.equal(message.content[0].text, "Rome");
        break;
      }
      const call = message.content.find((block) => block.type === "tool_use");
      asked.push(call.input.town);
      messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "20" }] });
    }
    assert.deepEqual(asked, ["Oslo", "Rome"]);
  },

  async errors() {
    const missing = await errorOf(() => client.messages.create({ model: "unknown", max_tokens: 1, messages: user("x") }));
    assert.equal(missing.status, 404);
    assert.equal(missing.error.error.type, "not_found_error");
    const long = await errorOf(() => ask("word ".repeat(20000)));
    assert.match(long.message, /prompt is too long/);
    const broken = await errorOf(async () => all(await ask(script("count 9", "crash-at-token 3"), { stream: true })));
    assert.match(broken.message, /SIGABRT/);
  },

  async cancel() {
    const stream = await ask(script("count 100000", "delay-ms 5"), { stream: true, max_tokens: 100000 });
    for await (const event of stream) {
      if (event.type !== "content_block_delta") continue;
      assert.equal(await active(), 1);
      stream.controller.abort();
      break;
    }
    await waitUntilIdle();
  },

  async parallel() {
    const texts = [...Array(8).keys()].map((number) => `number ${number}`);
    const messages = await Promise.all(texts.map((text) => ask(text)));
    assert.deepEqual(messages.map((message) => message.content[0].text), texts);
  },
});
