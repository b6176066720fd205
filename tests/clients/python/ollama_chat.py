"""Conversations through the package `ollama` of the Python index."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel

from service import ADDRESS, MODEL, active, expect, run, script, wait_until_idle

client = Client(host=ADDRESS)


def ask(text, **fields):
    return client.chat(model=MODEL, messages=[{"role": "user", "content": text}], **fields)


def whole_answers():
    answer = ask("Why is the sky blue?")
    assert answer.message.content == "Why is the sky blue?"
    assert (answer.done, answer.done_reason, answer.model) == (True, "stop", MODEL)
    assert answer.prompt_eval_count > 0 and answer.eval_count == 5
    assert answer["message"]["role"] == "assistant"

    answer = client.generate(model=MODEL, prompt="Why?", options={"temperature": 0, "num_ctx": 512})
    assert answer.response == "Why?" and answer.context


def streams():
    parts = list(ask("one two three", stream=True))
    assert [part.message.content for part in parts] == ["one", " two", " three", ""]
    assert [part.done for part in parts] == [False, False, False, True]

    parts = list(client.generate(model=MODEL, prompt="one two", stream=True))
    assert "".join(part.response for part in parts) == "one two"


def asynchronous():
    async def talk():
        other = AsyncClient(host=ADDRESS)
        messages = [{"role": "user", "content": "a b c"}]
        whole = await other.chat(model=MODEL, messages=messages)
        text = ""
        async for part in await other.chat(model=MODEL, messages=messages, stream=True):
            text += part.message.content
        return whole.message.content, text

    assert asyncio.run(talk()) == ("a b c", "a b c")


def thinking():
    text = script("think let me see", "answer blue")
    for level in (True, "low", "high"):
        answer = ask(text, think=level)
        assert (answer.message.thinking, answer.message.content) == ("let me see", "blue")
    assert not ask(text, think=False).message.thinking

    parts = [part.message for part in ask(text, think=True, stream=True)]
    assert "".join(part.thinking or "" for part in parts) == "let me see"
    assert "".join(part.content for part in parts) == "blue"


def tool_loop():
    """Three turns: two calls at once, then one, then the answer."""

    def temperature(city: str) -> str:
        """The temperature of a city.

        Args:
            city: Its name.
        """
        return {"Oslo": "9", "Rome": "21"}[city]

    def difference(one: int, other: int) -> str:
        """The difference of two numbers."""
        return str(abs(one - other))

    known = {"temperature": temperature, "difference": difference}
    first = [
        script(
            'call temperature {"city": "Oslo"}',
            'call temperature {"city": "Rome"}',
            "then",
            'call difference {"one": 9, "other": 21}',
            "then",
            "answer 12 degrees",
        )
    ]
    for stream in (False, True):
        messages = [{"role": "user", "content": text} for text in first]
        turns = []
        while True:
            answer = client.chat(MODEL, messages=messages, tools=[temperature, difference], stream=stream)
            parts = [part.message for part in answer] if stream else [answer.message]
            calls = [call for part in parts for call in part.tool_calls or []]
            turns.append([call.function.name for call in calls])
            if not calls:
                break
            messages.append({"role": "assistant", "tool_calls": calls})
            for call in calls:
                result = known[call.function.name](**call.function.arguments)
                messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
        assert turns == [["temperature", "temperature"], ["difference"], []], turns
        assert "".join(part.content for part in parts) == "12 degrees"
        results = [message["content"] for message in messages if message["role"] == "tool"]
        assert results == ["9", "21", "12"]


def structured_output():
    class Country(BaseModel):
        name: str
        languages: list[str]

    norway = {"name": "Norway", "languages": ["Bokmål", "Nynorsk"]}
    answer = ask(script(f"answer {json.dumps(norway)}"), format=Country.model_json_schema())
    assert Country.model_validate_json(answer.message.content).languages == norway["languages"]
    assert json.loads(ask("x", format="json").message.content) == {}


def images():
    # A transparent pixel.
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
    messages = [{"role": "user", "content": "what is this?", "images": [pixel]}]
    assert client.chat(model="eye", messages=messages).message.content.startswith("[image-1:")
    refused = expect(ResponseError, lambda: client.chat(model="plain", messages=messages))
    assert refused.status_code == 400


def errors():
    for call in (
        lambda: client.chat(model="unknown", messages=[{"role": "user", "content": "x"}]),
        lambda: client.generate(model="unknown", prompt="x"),
        lambda: list(client.chat(model="unknown", messages=[{"role": "user", "content": "x"}], stream=True)),
        lambda: client.show("unknown"),
    ):
        unknown = expect(ResponseError, call)
        assert unknown.status_code == 404 and "not found" in unknown.error, unknown

    # Clients match these words.
    question = [{"role": "user", "content": "x"}]
    refused = expect(ResponseError, lambda: client.chat(model="plain", messages=question, think=True))
    assert refused.status_code == 400 and "does not support thinking" in refused.error
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    refused = expect(ResponseError, lambda: client.chat(model="plain", messages=question, tools=[tool]))
    assert refused.status_code == 400 and "does not support tools" in refused.error
    assert client.chat(model="plain", messages=question, think=False).message.content == "x"

    bad = expect(ResponseError, lambda: ask("x", options={"temperature": "warm"}))
    assert bad.status_code == 400 and "temperature" in bad.error

    parts = ask(script("count 9", "crash-at-token 3"), stream=True)
    broken = expect(ResponseError, lambda: [next(parts) for _ in range(9)])
    assert "SIGABRT" in broken.error, broken


def long_prompts():
    words = "word " * 300
    assert ask(script("answer ok") + words, options={"num_ctx": 128}).message.content == "ok"


def cancel():
    parts = ask(script("count 100000", "delay-ms 5"), stream=True, options={"num_ctx": 4096})
    assert next(parts).message.content == "1"
    assert active() == 1
    parts.close()
    wait_until_idle()

    async def leave():
        other = AsyncClient(host=ADDRESS)
        messages = [{"role": "user", "content": script("count 100000", "delay-ms 5")}]
        await asyncio.wait_for(other.chat(model=MODEL, messages=messages), timeout=0.5)

    expect(asyncio.TimeoutError, lambda: asyncio.run(leave()))
    wait_until_idle()


def parallel():
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(f"number {number}").message.content, range(8)))
    assert answers == [f"number {number}" for number in range(8)]


run(
    whole_answers,
    streams,
    asynchronous,
    thinking,
    tool_loop,
    structured_output,
    images,
    errors,
    long_prompts,
    cancel,
    parallel,
)
