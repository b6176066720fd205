"""Models and embeddings through the package `ollama` of the Python index."""

import asyncio
import math

from ollama import AsyncClient, Client, ResponseError

from service import ADDRESS, MODEL, expect, run

client = Client(host=ADDRESS)


def lists():
    models = {model.model: model for model in client.list().models}
    assert set(models) == {"able:latest", "plain:latest", "vectors:latest", "eye:latest"}
    able = models["able:latest"]
    assert len(able.digest) == 64 and able.size > 0 and able.modified_at
    assert able.details.format == "gguf" and able.details.family


def shows():
    shown = client.show(MODEL)
    assert shown.modelinfo["general.architecture"] and shown.template
    assert {"completion", "tools", "thinking"} <= set(shown.capabilities)
    assert client.show("vectors").capabilities == ["embedding"]
    assert "vision" in client.show("eye").capabilities


def makes_copies_and_removes():
    progress = [part.status for part in client.create("pirate", from_=MODEL, system="Be a pirate.", stream=True)]
    assert progress[-1] == "success"
    assert client.show("pirate").modelfile.count("Be a pirate.") == 1
    assert client.copy("pirate", "corsair").status == "success"
    assert client.delete("pirate").status == "success"
    assert client.chat("corsair", [{"role": "user", "content": "ahoy"}]).message.content == "ahoy"
    client.delete("corsair")
    missing = expect(ResponseError, lambda: client.delete("corsair"))
    assert missing.status_code == 404


def loads_and_unloads():
    for keep_alive in ("5m", 300, -1, "300", "-1"):
        client.generate(model=MODEL, keep_alive=keep_alive)
        assert [model.model for model in client.ps().models] == ["able:latest"], keep_alive
    running = client.ps().models[0]
    assert running.size > 0 and running.context_length > 0 and running.expires_at
    client.generate(model=MODEL, keep_alive=0)
    assert client.ps().models == []


def embeds():
    one = client.embed(model="vectors", input="The sky is blue.")
    two = client.embed(model="vectors", input=["The sky is blue.", "Grass is green."])
    assert one.embeddings[0] == two.embeddings[0] != two.embeddings[1]
    assert two.prompt_eval_count > one.prompt_eval_count > 0
    assert math.isclose(math.hypot(*one.embeddings[0]), 1, rel_tol=1e-3)
    assert len(client.embed(model="vectors", input="x", dimensions=4).embeddings[0]) == 4
    assert len(client.embeddings(model="vectors", prompt="x").embedding) == 8

    many = client.embed(model="vectors", input=[f"text {number}" for number in range(300)])
    assert len(many.embeddings) == 300

    long = "word " * 200
    assert client.embed(model="vectors", input=long).prompt_eval_count <= 64
    refused = expect(ResponseError, lambda: client.embed(model="vectors", input=long, truncate=False))
    assert refused.status_code == 400


def embeds_asynchronously():
    async def embed():
        other = AsyncClient(host=ADDRESS)
        return await asyncio.gather(*(other.embed(model="vectors", input=f"text {n}") for n in range(8)))

    assert len({tuple(reply.embeddings[0]) for reply in asyncio.run(embed())}) == 8


def fails_to_fetch():
    # Nothing serves the library in the home of a test.
    failed = expect(ResponseError, lambda: client.pull("nothing-like-it"))
    assert failed.error
    failed = expect(ResponseError, lambda: list(client.pull("nothing-like-it", stream=True)))
    assert failed.error


run(
    lists,
    shows,
    loads_and_unloads,
    makes_copies_and_removes,
    embeds,
    embeds_asynchronously,
    fails_to_fetch,
)
