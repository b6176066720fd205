// Chat completions and embeddings through the package `openai` of npm.

import assert from "node:assert/strict";
import OpenAI from "openai";

import { ADDRESS, MODEL, active, all, errorOf, run, script, waitUntilIdle } from "./service.mjs";

const client = new OpenAI({ baseURL: `${ADDRESS}/v1`, apiKey: "none", maxRetries: 0 });
const parameters = { type: "object", properties: { town: { type: "string" } } };
const tools = ["warmth", "news"].map((name) => ({ type: "function", function: { name, parameters } }));

const user = (content) => [{ role: "user", content }];
const ask = (content, fields = {}) =>
  client.chat.completions.create({ model: MODEL, messages: user(content), ...fields });

await run({
  async wholeAnswersAndStreams() {
    const answer = await ask("Why is the sky blue?");
    assert.equal(answer.choices[0].message.content, "Why is the sky blue?");
    assert.equal(answer.choices[0].finish_reason, "stop");
    const chunks = await all(await ask("one two", { stream: true }));
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), "one two");
  },

  async calls() {
    const text = script("think hm", "answer I look.", 'call warmth {"town": "Oslo"}', "call news {}") + "x";
    const stream = client.chat.completions.stream({ model: MODEL, messages: user(text), tools });
    const [choice] = (await stream.finalChatCompletion()).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), ["warmth", "news"]);
  },

  async embeddings() {
    const { data } = await client.embeddings.create({ model: "vectors", input: ["The sky is blue.", "Grass is green."] });
    assert.deepEqual(data.map((one) => one.embedding.length), [8, 8]);
  },

  async responses() {
    const response = await client.responses.create({ model: MODEL, input: "one two" });
    assert.equal(response.output_text, "one two");
    const next = await client.responses.create({ model: MODEL, input: "three", previous_response_id: response.id });
    assert.equal(next.output_text, "three");
  },

  async errors() {
    const missing = await errorOf(() => client.chat.completions.create({ model: "unknown", messages: user("x") }));
    assert.deepEqual([missing.status, missing.code], [404, "model_not_found"]);
    const broken = await errorOf(async () => all(await ask(script("count 9", "crash-at-token 3"), { stream: true })));
    assert.match(broken.message, /SIGABRT/);
  },

  async cancel() {
    const stream = await ask(script("count 100000", "delay-ms 5"), { stream: true });
    for await (const chunk of stream) {
      if (!chunk.choices[0].delta.content) continue;
      assert.equal(await active(), 1);
      stream.controller.abort();
      break;
    }
    await waitUntilIdle();
  },

  async parallel() {
    const texts = [...Array(8).keys()].map((number) => `number ${number}`);
    const answers = await Promise.all(texts.map((text) => ask(text)));
    assert.deepEqual(answers.map((answer) => answer.choices[0].message.content), texts);
  },
});
