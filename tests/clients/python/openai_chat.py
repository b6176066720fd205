"""Chat completions, embeddings and models through the package `openai` of the Python index."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from service import ADDRESS, MODEL, active, expect, run, script, wait_until_idle

client = OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
later = AsyncOpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)

TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": {"town": {"type": "string"}}}},
    }
    for name in ("warmth", "news")
]


def ask(text, **fields):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **fields)


def whole_answers():
    answer = ask("Why is the sky blue?")
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Why is the sky blue?")
    assert (choice.finish_reason, answer.object, answer.model) == ("stop", "chat.completion", MODEL)
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    assert ask("one two", max_completion_tokens=1).choices[0].finish_reason == "length"
    assert [choice.message.content for choice in ask("a b", n=3).choices] == ["a b"] * 3


def streams():
    chunks = list(ask("one two", stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 2
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(texts) == "one two"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks[:-1]]
    assert reasons[-1] == "stop" and set(reasons[:-1]) == {None}
    text = script("think is it warm", "answer I look.", 'call warmth {"town": "Oslo"}', "call news {}") + "x"
    messages = [{"role": "user", "content": text}]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as stream:
        for _ in stream:
            pass
        (choice,) = stream.get_final_completion().choices
    assert choice.finish_reason == "tool_calls" and choice.message.content == "I look."
    calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert calls == [("warmth", '{"town": "Oslo"}'), ("news", "{}")], calls


def tool_loop():
    degrees = {"Oslo": "3", "Rome": "20"}
    text = script('call warmth {"town": "Oslo"}', "then", 'call warmth {"town": "Rome"}', "then", "answer Rome")
    messages = [{"role": "user", "content": text}]
    for _ in range(2):
        (choice,) = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices
        (call,) = choice.message.tool_calls
        messages.append(choice.message)
        town = "Oslo" if "Oslo" in call.function.arguments else "Rome"
        messages.append({"role": "tool", "tool_call_id": call.id, "content": degrees[town]})
    assert client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0].message.content == "Rome"


def structured_output():
    class Empty(BaseModel):
        pass

    messages = [{"role": "user", "content": "x"}]
    parsed = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Empty)
    assert isinstance(parsed.choices[0].message.parsed, Empty)


def embeddings_and_models():
    texts = ["The sky is blue.", "Grass is green."]
    encoded = client.embeddings.create(model="vectors", input=texts)
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
    for one, other in zip(encoded.data, plain.data, strict=True):
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True))
    models = [model.id for model in client.models.list()]
    assert f"{MODEL}:latest" in models
    assert client.models.retrieve(MODEL).id == MODEL


def errors():
    messages = [{"role": "user", "content": "x"}]
    missing = expect(openai.NotFoundError, lambda: client.chat.completions.create(model="unknown", messages=messages))
    assert missing.code == "model_not_found"
    long = expect(openai.BadRequestError, lambda: ask("word " * 20000))
    assert long.code == "context_length_exceeded"
    wrong = expect(openai.BadRequestError, lambda: ask("x", temperature="warm"))
    assert wrong.param == "temperature"

    def broken():
        for _ in ask(script("count 9", "crash-at-token 3"), stream=True):
            pass

    assert "SIGABRT" in str(expect(openai.APIError, broken))


def cancel():
    stream = ask(script("count 100000", "delay-ms 5"), stream=True)
    next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert active() == 1
    stream.close()
    wait_until_idle()


def asynchronous_and_parallel():
    async def one(text):
        messages = [{"role": "user", "content": text}]
        stream = await later.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_of(texts):
        return await asyncio.gather(*map(one, texts))

    texts = [f"number {number}" for number in range(8)]
    assert asyncio.run(all_of(texts)) == texts
    with ThreadPoolExecutor(8) as pool:
        assert [answer.choices[0].message.content for answer in pool.map(ask, texts)] == texts


run(
    whole_answers,
    streams,
    tool_loop,
    structured_output,
    embeddings_and_models,
    errors,
    cancel,
    asynchronous_and_parallel,
)
