"""The Responses API through the package `openai` of the Python index.

Each event of a stream and each response is checked strictly against the types of the package.
"""

import asyncio

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from service import ADDRESS, MODEL, expect, run, script

client = OpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)
later = AsyncOpenAI(base_url=f"{ADDRESS}/v1", api_key="none", max_retries=0)

EVENT = TypeAdapter(ResponseStreamEvent)
TOOLS = [
    {
        "type": "function",
        "name": name,
        "strict": False,
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    for name in ("f", "g")
]


def checked(response):
    """The response, if it has the types of the package."""
    Response.model_validate(response.model_dump(by_alias=True, exclude_unset=True), strict=False)
    return response


def streamed(**fields):
    """The events of a stream, if they have the types of the package and their numbers."""
    events = list(client.responses.create(model=MODEL, stream=True, **fields))
    for number, event in enumerate(events):
        raw = event.model_dump(by_alias=True, exclude_unset=True)
        found = EVENT.validate_python(raw)
        assert type(found) is type(event), (type(found), type(event))
        assert event.sequence_number == number
    assert events[0].type == "response.created"
    return events


def answers():
    response = checked(client.responses.create(model=MODEL, input="one two"))
    assert response.output_text == "one two" and response.status == "completed"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def streams_text_reasoning_and_two_calls():
    text = script("think is it warm", "answer I look.", 'call f {"n": 1}', "call g {}") + "x"
    last = checked(streamed(input=text, tools=TOOLS)[-1].response)
    assert [item.type for item in last.output] == ["reasoning", "message", "function_call", "function_call"]
    assert last.output[0].content[0].text == "is it warm" and last.output_text == "I look."
    fields = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}
    last = checked(streamed(input=text, tools=TOOLS, top_logprobs=2, **fields)[-1].response)
    assert last.output[0].summary[0].text == "is it warm"


def the_helper_of_streams_collects_the_response():
    text = script("think hm", "answer I look.", 'call f {"n": 1}') + "x"
    with client.responses.stream(model=MODEL, input=text, tools=TOOLS) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert deltas == stream.get_final_response().output_text == "I look."


def ends_incomplete_and_failed():
    last = streamed(input=script("think one two three four") + "x", max_output_tokens=2)[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    last = streamed(input=script("answer a b c", "fail-at-token 2") + "x")[-1]
    assert last.type == "response.failed" and last.response.error.code == "server_error"


def loops_with_results(store):
    items, previous = [], None
    for turn in range(1, 4):
        text = script(f'call f {{"n": {turn}}}') + "go"
        new = [{"role": "user", "content": text}]
        sent = new if store else items + new
        extra = {"previous_response_id": previous} if previous else {}
        response = checked(client.responses.create(model=MODEL, input=sent, tools=TOOLS, store=store, **extra))
        call = next(item for item in response.output if item.type == "function_call")
        result = {"type": "function_call_output", "call_id": call.call_id, "output": f"r{turn}"}
        items += new + [item.model_dump(exclude_unset=True) for item in response.output]
        follow = [result, {"role": "user", "content": f"more{turn}"}]
        extra = {"previous_response_id": response.id} if store else {}
        sent = follow if store else items + follow
        response = checked(client.responses.create(model=MODEL, input=sent, tools=TOOLS, store=store, **extra))
        assert response.output_text == f"more{turn}"
        items += follow + [item.model_dump(exclude_unset=True) for item in response.output]
        previous = response.id if store else None
    sent = [{"role": "user", "content": script("echo-prompt") + "end"}]
    extra = {"previous_response_id": previous} if previous else {}
    prompt = client.responses.create(model=MODEL, input=sent if store else items + sent, tools=TOOLS, **extra).output_text
    for words in ("r1", "r2", "r3", "user: more3", "user: end"):
        assert words in prompt, (words, prompt)


def loops_by_ids():
    loops_with_results(store=True)


def loops_by_items():
    loops_with_results(store=False)


def parses_structured_text():
    class Empty(BaseModel):
        pass

    parsed = client.responses.parse(model=MODEL, input="x", text_format=Empty)
    assert isinstance(parsed.output_parsed, Empty)


def reads_counts_and_removes():
    response = client.responses.create(model=MODEL, input="one two")
    assert checked(client.responses.retrieve(response.id)) == response
    page = client.responses.input_items.list(response.id)
    ResponseItemList.model_validate(page.model_dump(by_alias=True))
    assert page.data[0].content[0].text == "one two"
    assert client.responses.input_tokens.count(model=MODEL, input="one two").input_tokens > 0
    client.responses.delete(response.id)
    missing = expect(openai.NotFoundError, lambda: client.responses.retrieve(response.id))
    assert missing.code == "response_not_found"
    broken = expect(
        openai.BadRequestError,
        lambda: client.responses.create(model=MODEL, input="x", previous_response_id=response.id),
    )
    assert broken.code == "previous_response_not_found" and broken.param == "previous_response_id"


def holds_a_conversation():
    conversation = client.conversations.create(metadata={"a": "b"}, items=[{"role": "user", "content": "zero"}])
    client.responses.create(model=MODEL, input="one", conversation=conversation.id)
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=2))
    assert [item.role for item in items if item.type == "message"] == ["user", "user", "assistant"]
    client.conversations.items.delete(items[0].id, conversation_id=conversation.id)
    assert client.conversations.update(conversation.id, metadata={"c": "d"}).metadata == {"c": "d"}
    assert client.conversations.delete(conversation.id).deleted


def generates_in_the_background_and_cancels():
    text = script("delay-ms 20", "count 500") + "x"
    response = client.responses.create(model=MODEL, input=text, background=True)
    assert response.status == "queued"
    assert client.responses.cancel(response.id).status == "cancelled"
    short = client.responses.create(model=MODEL, input="one", background=True)
    while short.status in ("queued", "in_progress"):
        short = client.responses.retrieve(short.id)
    assert checked(short).output_text == "one"


def answers_several_at_once():
    async def ask(word):
        stream = await later.responses.create(model=MODEL, input=word, stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    async def all():
        words = [f"word{number}" for number in range(4)]
        assert await asyncio.gather(*map(ask, words)) == words

    asyncio.run(all())


def cancels_in_mid_stream():
    stream = client.responses.create(model=MODEL, input=script("delay-ms 20", "count 500") + "x", stream=True)
    next(event for event in stream if event.type == "response.output_text.delta")
    stream.close()


def names_the_error():
    error = expect(openai.NotFoundError, lambda: client.responses.create(model="none", input="x"))
    assert error.code == "model_not_found"
    wrong = [{"type": "compaction", "encrypted_content": "x"}]
    error = expect(openai.BadRequestError, lambda: client.responses.create(model=MODEL, input=wrong))
    assert error.param == "input[0].type"


run(
    answers,
    streams_text_reasoning_and_two_calls,
    the_helper_of_streams_collects_the_response,
    ends_incomplete_and_failed,
    loops_by_ids,
    loops_by_items,
    parses_structured_text,
    reads_counts_and_removes,
    holds_a_conversation,
    generates_in_the_background_and_cancels,
    answers_several_at_once,
    cancels_in_mid_stream,
    names_the_error,
)
