"""The program `llm` and its library, through the plugin `llm-ollama`."""

import json
import os
import subprocess
import sys
import tempfile

from service import ADDRESS, MODEL, run, script

os.environ["OLLAMA_HOST"] = ADDRESS
# Logs and keys of `llm`.
os.environ["LLM_USER_PATH"] = tempfile.mkdtemp(dir=os.getcwd())

# The plugin puts its own name before a model's.
NAME = f"ollama/{MODEL}"

import llm  # noqa: E402  It reads the variables when it is imported.


def command_line():
    def said(*arguments):
        program = [sys.executable, "-m", "llm", *arguments]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout

    assert f"Ollama: {NAME}:latest" in said("models")
    assert said("-m", NAME, "Why is the sky blue?").strip() == "Why is the sky blue?"
    assert said("-m", NAME, "--no-stream", "Why?").strip() == "Why?"
    # A second prompt of the same conversation.
    assert said("-c", "And at night?").strip() == "And at night?"
    assert len(json.loads(said("embed", "-m", "ollama/vectors", "-c", "The sky is blue."))) == 8


def library():
    model = llm.get_model(NAME)
    reply = model.prompt("one two three", temperature=0)
    assert list(reply) == ["one", " two", " three"]
    assert reply.usage().output == 3

    conversation = model.conversation()
    assert conversation.prompt("one").text() == "one"
    assert conversation.prompt(script("echo-prompt")).text().count("assistant: one") == 1


def tool_loop():
    def multiply(a: int, b: int) -> int:
        """Multiplies two numbers."""
        return a * b

    text = script(
        'call multiply {"a": 6, "b": 7}', "then", 'call multiply {"a": 42, "b": 2}', "then", "answer 84"
    )
    chain = llm.get_model(NAME).chain(text, tools=[multiply])
    assert chain.text() == "84"
    results = [result.output for reply in chain.responses() for result in reply.prompt.tool_results]
    assert results == ["42", "84"], results


def structured_output():
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    reply = llm.get_model(NAME).prompt(script('answer {"name": "Cleo"}'), schema=schema)
    assert json.loads(reply.text()) == {"name": "Cleo"}


run(command_line, library, tool_loop, structured_output)
