"""LangChain through `langchain-ollama`."""

import asyncio

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from pydantic import BaseModel

from service import ADDRESS, MODEL, active, expect, run, script, wait_until_idle

model = ChatOllama(model=MODEL, base_url=ADDRESS, temperature=0)


def whole_answers_and_streams():
    answer = model.invoke([("system", "Be brief."), ("human", "I love programming.")])
    assert answer.content == "I love programming."
    assert answer.usage_metadata["input_tokens"] > answer.usage_metadata["output_tokens"] > 0
    assert "".join(part.content for part in model.stream("one two three")) == "one two three"
    assert OllamaLLM(model=MODEL, base_url=ADDRESS).invoke("Why?").strip() == "Why?"


def asynchronous():
    async def talk():
        whole = await model.ainvoke("a b")
        parts = [part.content async for part in model.astream("a b")]
        return whole.content, "".join(parts)

    assert asyncio.run(talk()) == ("a b", "a b")


def thinking():
    reasons = ChatOllama(model=MODEL, base_url=ADDRESS, reasoning=True)
    answer = reasons.invoke(script("think hm", "answer blue"))
    assert answer.content == "blue"
    assert answer.additional_kwargs["reasoning_content"] == "hm"


def tool_loop():
    @tool
    def multiply(a: int, b: int) -> int:
        """Multiplies two numbers."""
        return a * b

    bound = model.bind_tools([multiply])
    text = script(
        'call multiply {"a": 6, "b": 7}', "then", 'call multiply {"a": 42, "b": 2}', "then", "answer 84"
    )
    messages = [HumanMessage(text)]
    for expected in (42, 84):
        answer = bound.invoke(messages)
        messages.append(answer)
        (call,) = answer.tool_calls
        result = multiply.invoke(call)
        assert isinstance(result, ToolMessage) and int(result.content) == expected
        messages.append(result)
    assert bound.invoke(messages).content == "84"


def structured_output():
    class Joke(BaseModel):
        setup: str
        rating: int

    told = script('answer {"setup": "Why?", "rating": 7}')
    joke = model.with_structured_output(Joke, method="json_schema").invoke(told)
    assert joke == Joke(setup="Why?", rating=7)
    called = script('call Joke {"setup": "Why?", "rating": 7}')
    assert model.with_structured_output(Joke, method="function_calling").invoke(called) == joke


def embeddings():
    embedder = OllamaEmbeddings(model="vectors", base_url=ADDRESS)
    one = embedder.embed_query("The sky is blue.")
    assert embedder.embed_documents(["The sky is blue.", "Grass is green."])[0] == one


def errors():
    unknown = expect(Exception, lambda: ChatOllama(model="unknown", base_url=ADDRESS).invoke("x"))
    assert "not found" in str(unknown)


def cancel():
    parts = model.stream(script("count 100000", "delay-ms 5"))
    assert next(parts).content == "1"
    assert active() == 1
    parts.close()
    wait_until_idle()


def batches():
    texts = [f"number {number}" for number in range(8)]
    assert [answer.content for answer in model.batch(texts)] == texts


run(
    whole_answers_and_streams,
    asynchronous,
    thinking,
    tool_loop,
    structured_output,
    embeddings,
    errors,
    cancel,
    batches,
)
