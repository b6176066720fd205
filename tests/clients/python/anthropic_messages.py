"""Messages through the package `anthropic` of the Python index."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from service import ADDRESS, MODEL, active, expect, run, script, wait_until_idle

client = Anthropic(base_url=ADDRESS, api_key="none", max_retries=0)
later = AsyncAnthropic(base_url=ADDRESS, api_key="none", max_retries=0)

TOOLS = [
    {
        "name": name,
        "description": "Temperature of a town",
        "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}},
    }
    for name in ("warmth", "news")
]


def ask(text, **fields):
    fields.setdefault("max_tokens", 200)
    return client.messages.create(model=MODEL, messages=[{"role": "user", "content": text}], **fields)


def whole_answers():
    message = ask("Why is the sky blue?", system="Be brief.")
    assert message.content[0].text == "Why is the sky blue?"
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == 5
    assert ask("one two", max_tokens=1).stop_reason == "max_tokens"
    stopped = ask("one two three", stop_sequences=[" two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " two")


def streams():
    text = script("think is it warm", "answer I look.", 'call warmth {"town": "Oslo"}', "call news {}") + "x"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model=MODEL, max_tokens=200, tools=TOOLS, thinking=thinking, messages=[{"role": "user", "content": text}]
    ) as stream:
        assert "".join(stream.text_stream) == "I look."
        message = stream.get_final_message()
    kinds = [block.type for block in message.content]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"], kinds
    assert message.content[0].thinking == "is it warm"
    assert [block.input for block in message.content[2:]] == [{"town": "Oslo"}, {}]
    assert message.stop_reason == "tool_use"
    events = [event.type for event in ask("one two", stream=True)]
    assert (events[0], events[-1]) == ("message_start", "message_stop")


def tool_loop():
    degrees = {"Oslo": "3", "Rome": "20", "Cairo": "35"}
    text = script(
        'call warmth {"town": "Oslo"}; call warmth {"town": "Rome"}',
        "then",
        'call warmth {"town": "Cairo"}',
        "then",
        "answer Cairo",
    )
    messages = [{"role": "user", "content": text}]
    asked = []
    while True:
        message = client.messages.create(model=MODEL, max_tokens=200, messages=messages, tools=TOOLS)
        messages.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        asked.append([call.input["town"] for call in calls])
        if message.stop_reason != "tool_use":
            break
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": degrees[call.input["town"]]} for call in calls
        ]
        messages.append({"role": "user", "content": results})
    assert asked == [["Oslo", "Rome"], ["Cairo"], []], asked
    assert message.content[0].text == "Cairo"


def structured_output():
    class Empty(BaseModel):
        pass

    schema = {"type": "json_schema", "schema": Empty.model_json_schema()}
    message = ask("x", extra_body={"output_config": {"format": schema}})
    assert isinstance(Empty.model_validate_json(message.content[0].text), Empty)


def counts_tokens():
    messages = [{"role": "user", "content": "one two three"}]
    counted = client.messages.count_tokens(model=MODEL, messages=messages, system="Be brief.", tools=TOOLS)
    usage = client.messages.create(
        model=MODEL, max_tokens=1, messages=messages, system="Be brief.", tools=TOOLS
    ).usage
    assert counted.input_tokens >= usage.input_tokens + usage.cache_read_input_tokens > 0


def errors():
    missing = expect(
        anthropic.NotFoundError,
        lambda: client.messages.create(model="unknown", max_tokens=1, messages=[{"role": "user", "content": "x"}]),
    )
    assert missing.body["error"]["type"] == "not_found_error" and "unknown" in missing.body["error"]["message"]
    assert missing.request_id.startswith("req_")
    long = expect(anthropic.BadRequestError, lambda: ask("word " * 20000))
    assert "prompt is too long" in long.message
    bad = expect(anthropic.BadRequestError, lambda: ask("x", extra_body={"temperature": "warm"}))
    assert "temperature" in bad.message

    def broken():
        for _ in ask(script("count 9", "crash-at-token 3"), stream=True):
            pass

    assert "SIGABRT" in str(expect(anthropic.APIError, broken))


def cancel():
    stream = ask(script("count 100000", "delay-ms 5"), stream=True, max_tokens=100000)
    next(event for event in stream if event.type == "content_block_delta")
    assert active() == 1
    stream.close()
    wait_until_idle()


def asynchronous_and_parallel():
    async def one(text):
        messages = [{"role": "user", "content": text}]
        async with later.messages.stream(model=MODEL, max_tokens=200, messages=messages) as stream:
            return "".join([piece async for piece in stream.text_stream])

    async def all_of(texts):
        return await asyncio.gather(*map(one, texts))

    texts = [f"number {number}" for number in range(8)]
    assert asyncio.run(all_of(texts)) == texts
    with ThreadPoolExecutor(8) as pool:
        assert [message.content[0].text for message in pool.map(ask, texts)] == texts


run(
    whole_answers,
    streams,
    tool_loop,
    structured_output,
    counts_tokens,
    errors,
    cancel,
    asynchronous_and_parallel,
)
