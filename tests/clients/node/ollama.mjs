// Conversations, models and embeddings through the package `ollama` of npm.

import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { z } from "zod";

import { ADDRESS, MODEL, active, all, errorOf, run, script, waitUntilIdle } from "./service.mjs";

const client = new Ollama({ host: ADDRESS });
const user = (content) => [{ role: "user", content }];
const ask = (content, fields = {}) => client.chat({ model: MODEL, messages: user(content), ...fields });

await run({
  async wholeAnswers() {
    const answer = await ask("Why is the sky blue?");
    assert.equal(answer.message.content, "Why is the sky blue?");
    assert.deepEqual([answer.done, answer.done_reason, answer.eval_count], [true, "stop", 5]);
    const generated = await client.generate({ model: MODEL, prompt: "Why?" });
    assert.equal(generated.response, "Why?");
  },

  async streams() {
    const parts = await all(await ask("one two three", { stream: true }));
    assert.deepEqual(parts.map((part) => part.message.content), ["one", " two", " three", ""]);
    assert.equal(parts.at(-1).done, true);
  },

  async thinking() {
    const parts = await all(await ask(script("think let me see", "answer blue"), { think: true, stream: true }));
    assert.equal(parts.map((part) => part.message.thinking ?? "").join(""), "let me see");
    assert.equal(parts.map((part) => part.message.content).join(""), "blue");
  },

  // Three turns: two calls at once, then one, then the answer.
  async toolLoop() {
    const tools = [
      {
        type: "function",
        function: {
          name: "temperature",
          description: "The temperature of a city",
          parameters: { type: "object", required: ["city"], properties: { city: { type: "string" } } },
        },
      },
    ];
    const known = { Oslo: "9", Rome: "21", Cairo: "30" };
    const text = script(
      'call temperature {"city": "Oslo"}',
      'call temperature {"city": "Rome"}',
      "then",
      'call temperature {"city": "Cairo"}',
      "then",
      "answer Cairo",
    );
    const messages = user(text);
    const turns = [];
    for (;;) {
      const { message } = await client.chat({ model: MODEL, messages, tools });
      const calls = message.tool_calls ?? [];
      turns.push(calls.map((call) => call.function.arguments.city));
      messages.push(message);
      if (calls.length === 0) break;
      for (const call of calls) {
        messages.push({ role: "tool", tool_name: call.function.name, content: known[call.function.arguments.city] });
      }
    }
    assert.deepEqual(turns, [["Oslo", "Rome"], ["Cairo"], []]);
    assert.equal(messages.at(-1).content, "Cairo");
  },

  async structuredOutput() {
    const Country = z.object({ name: z.string(), languages: z.array(z.string()) });
    const norway = { name: "Norway", languages: ["Bokmål", "Nynorsk"] };
    const answer = await ask(script(`answer ${JSON.stringify(norway)}`), { format: z.toJSONSchema(Country) });
    assert.deepEqual(Country.parse(JSON.parse(answer.message.content)), norway);
  },

  async models() {
    const { models } = await client.list();
    assert(models.some((model) => model.name === `${MODEL}:latest` && model.digest.length === 64));
    const shown = await client.show({ model: MODEL });
    assert(shown.capabilities.includes("tools") && shown.model_info["general.architecture"]);
    await client.generate({ model: MODEL, prompt: "" });
    assert.equal((await client.ps()).models[0].name, `${MODEL}:latest`);
    const progress = await all(await client.create({ model: "pirate", from: MODEL, system: "Be one.", stream: true }));
    assert.equal(progress.at(-1).status, "success");
    await client.copy({ source: "pirate", destination: "corsair" });
    for (const model of ["pirate", "corsair"]) await client.delete({ model });
    assert.equal((await client.list()).models.length, models.length);
    assert.match(await client.version().then((reply) => reply.version), /^\d+\.\d+\.\d+/);
  },

  async embeddings() {
    const { embeddings } = await client.embed({ model: "vectors", input: ["The sky is blue.", "Grass is green."] });
    const alone = await client.embed({ model: "vectors", input: "The sky is blue." });
    assert.deepEqual(alone.embeddings[0], embeddings[0]);
  },

  async errors() {
    const unknown = await errorOf(() => client.chat({ model: "unknown", messages: user("x") }));
    assert.deepEqual([unknown.name, unknown.status_code], ["ResponseError", 404]);
    assert.match(unknown.message, /not found/);
    const thinks = await errorOf(() => client.chat({ model: "plain", messages: user("x"), think: true }));
    assert.match(thinks.message, /does not support thinking/);
    const bad = await errorOf(() => ask("x", { options: { temperature: "warm" } }));
    assert.equal(bad.status_code, 400);
    assert.match(bad.message, /temperature/);
    const broken = await errorOf(async () => all(await ask(script("count 9", "crash-at-token 3"), { stream: true })));
    assert.match(broken.message, /SIGABRT/);
  },

  async cancel() {
    const stream = await ask(script("count 100000", "delay-ms 5"), { stream: true });
    let isFirst = true;
    const aborted = await errorOf(async () => {
      for await (const part of stream) {
        // Parts that arrived before the abort still come.
        if (!isFirst) continue;
        isFirst = false;
        assert.equal(part.message.content, "1");
        assert.equal(await active(), 1);
        stream.abort();
      }
    });
    assert.equal(aborted.name, "AbortError");
    await waitUntilIdle();
  },

  async parallel() {
    const texts = [...Array(8).keys()].map((number) => `number ${number}`);
    const answers = await Promise.all(texts.map((text) => ask(text)));
    assert.deepEqual(answers.map((answer) => answer.message.content), texts);
  },
});
