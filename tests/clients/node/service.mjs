// The daemon under test, and scripts for its mock runner.

import assert from "node:assert/strict";

export const ADDRESS = process.env.SLM_ADDRESS;
// A model that holds conversations; with the mock runner it has tools and thinking.
export const MODEL = process.env.SLM_MODEL;

// A script that hangs fails.
setTimeout(() => {
  console.error("the script did not end within two minutes");
  process.exit(1);
}, 120_000).unref();

/** A text that makes the mock runner do this; see `tests/runner-mock/src/lib.rs`. */
export function script(...directives) {
  return `[[mock: ${directives.join("; ")}]]`;
}

/** Number of requests that the daemon is answering. */
export async function active() {
  const reply = await fetch(`${ADDRESS}/api/ps`);
  const { models } = await reply.json();
  return models.reduce((sum, model) => sum + model.active, 0);
}

/** Waits until no request is answered: the answer of a client that left was cancelled. */
export async function waitUntilIdle() {
  const deadline = Date.now() + 10_000;
  while ((await active()) > 0) {
    assert(Date.now() < deadline, "the daemon goes on with an answer that nobody reads");
    await new Promise((resume) => setTimeout(resume, 10));
  }
}

/** Returns the error that the call raises. */
export async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  assert.fail("the call raises no error");
}

/** All parts of a stream. */
export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

/** Runs the tests in turn; a failure names the test. */
export async function run(tests) {
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      await waitUntilIdle();
    } catch (error) {
      console.error(`${name} failed:`, error);
      process.exit(1);
    }
  }
}
