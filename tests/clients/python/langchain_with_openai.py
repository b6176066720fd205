"""LangChain through `langchain-openai`."""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from service import ADDRESS, MODEL, run, script

BASE = f"{ADDRESS}/v1"
model = ChatOpenAI(model=MODEL, base_url=BASE, api_key="none", max_retries=0)


def whole_answers_and_streams():
    answer = model.invoke([("system", "Be brief."), ("human", "I love programming.")])
    assert answer.content == "I love programming."
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(part.content for part in model.stream("one two three")) == "one two three"


def tool_loop():
    @tool
    def multiply(a: int, b: int) -> int:
        """Multiplies two numbers."""
        return a * b

    bound = model.bind_tools([multiply])
    text = script('call multiply {"a": 6, "b": 7}', "then", 'call multiply {"a": 42, "b": 2}', "then", "answer 84")
    messages = [HumanMessage(text)]
    for expected in (42, 84):
        answer = bound.invoke(messages)
        messages.append(answer)
        (call,) = answer.tool_calls
        result = multiply.invoke(call)
        assert int(result.content) == expected
        messages.append(result)
    assert bound.invoke(messages).content == "84"


def embeddings():
    # The default sends token ids of OpenAI's own vocabulary.
    vectors = OpenAIEmbeddings(model="vectors", base_url=BASE, api_key="none", check_embedding_ctx_length=False)
    assert len(vectors.embed_query("The sky is blue.")) == 8


run(whole_answers_and_streams, tool_loop, embeddings)
