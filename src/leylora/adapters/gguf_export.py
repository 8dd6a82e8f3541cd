"""An adapter made ready for Ollama and llama.cpp: a folder with the GGUF, a Modelfile, the chat template and a card.

    exported = export(Path("LORA/mistral-7b-law"), Path("out"), base="mistralai/Mistral-7B-v0.1", with_base=True)

The Modelfile says in Ollama's words what a wrong export is silent about: our template, what ends an answer, the
sampling of the adapter's preset and the context.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.adapters.discover import saved_template, template_name
from leylora.adapters.files import open_adapter
from leylora.adapters.fold import base_folder, fold_into_base
from leylora.adapters.gguf import FileType, Written, write_lora, write_model
from leylora.adapters.gguf_proof import Proof, prove
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object, write_text
from leylora.folders import staged_folder
from leylora.models.load import load_tokenizer
from leylora.models.presets import Sampling, preset, preset_for
from leylora.models.templates import ending_of, instruction_template, render, served_template, special_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST_CONTEXT = 8192  # tokens; a longer one takes more memory than many who use Ollama have
EXACT_UP_TO = 4 * 2**30  # bytes of a base's weights; a larger one is proved in the type that it is exported in
_MARKS = ("\ue000system\ue001", "\ue000first\ue001", "\ue000answer\ue001", "\ue000second\ue001")


@dataclass
class Exported:
    """What lies in the folder, by file name, and what was found out."""

    folder: Path
    files: list[str] = field(default_factory=list)
    adapter: Written | None = None
    proof: Proof | None = None


@dataclass(frozen=True)
class Pieces:
    """A chat template taken apart: what stands before, between and after the texts of a conversation.

    ``told + system + asked_then`` begins a conversation with a system message, ``asked`` one without; ``answer`` stands
    before an answer that is to come, ``answered`` before one that is there, ``next`` between it and the next question.
    """

    told: str
    asked_then: str
    asked: str
    answer: str
    answered: str
    next: str


def adds_bos(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether llama.cpp puts BOS before every prompt: where the tokenizer does, and for all of SentencePiece's kind."""
    bos = tokenizer.bos_token_id
    return bos is not None and (tokenizer("a").input_ids[0] == bos or "▁" in tokenizer.get_vocab())


def pieces_of(template: str, bos: str, eos: str, *, adds_bos: bool = True) -> Pieces:
    """Take a template apart by rendering it, and check that the parts make it up again.

    A BOS token at the beginning is left out where the program that reads the template puts one there.

    Raises:
        LeyloraError: the template is of another form.
    """
    system, first, answer, second = _MARKS
    ask, reply = {"role": "user", "content": first}, {"role": "assistant", "content": answer}
    again, told = {"role": "user", "content": second}, {"role": "system", "content": system}

    def parts(messages: Sequence[dict[str, str]], *marks: str) -> list[str]:
        text = render(template, messages, bos_token=bos, eos_token=eos, add_generation_prompt=True)
        found = []
        for mark in marks:
            before, seen, text = text.partition(mark)
            if not seen:
                raise LeyloraError("The chat template leaves a message out, which Ollama's form cannot say.")
            found.append(before)
        return [*found, text]

    asked, to_answer = parts([ask], first)
    told_, then, to_answer_too = parts([told, ask], system, first)
    asked_too, answered, between, last = parts([ask, reply, again], first, answer, second)
    if to_answer_too != to_answer or asked_too != asked or last != to_answer:
        raise LeyloraError("The chat template puts a question differently each time, which Ollama's form cannot say.")
    both = parts([told, ask, reply, again], system, first, answer, second)
    if both != [told_, then, answered, between, last]:
        raise LeyloraError("The chat template is not the sum of its messages, which Ollama's form cannot say.")
    if adds_bos:
        told_, asked = told_.removeprefix(bos), asked.removeprefix(bos)
    return Pieces(told_, then, asked, to_answer, answered, between)


def go_template(pieces: Pieces) -> str:
    """The template in Go's language, which Ollama reads.

    Raises:
        LeyloraError: an answer that is there begins otherwise than one that is to come.
    """
    if not pieces.answered.startswith(pieces.answer):
        raise LeyloraError("The chat template opens an answer in two ways, which Ollama's form cannot say.")

    def said(text: str) -> str:
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""

    begun = said(pieces.answered.removeprefix(pieces.answer))
    with_system = f"{said(pieces.told)}{{{{ .System }}}}{said(pieces.asked_then)}"
    return "\n".join(
        (
            f"{{{{- if .System }}}}{with_system}{{{{ else }}}}{said(pieces.asked)}{{{{ end }}}}",
            "{{- range $at, $_ := .Messages }}",
            f'{{{{- if eq .Role "user" }}}}{{{{ .Content }}}}{said(pieces.answer)}',
            f'{{{{- else if eq .Role "assistant" }}}}{begun}{{{{ .Content }}}}'
            f"{{{{ if gt (len (slice $.Messages $at)) 1 }}}}{said(pieces.next)}{{{{ end }}}}",
            "{{- end }}",
            "{{- end }}",
        )
    )


def modelfile(
    source: str, adapter: str | None, pieces: Pieces, stops: Sequence[str], sampling: Sampling, context: int
) -> str:
    """What ``ollama create NAME -f Modelfile`` reads."""
    settings = {
        "temperature": 0.0 if sampling.greedy else sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "repeat_penalty": sampling.repetition_penalty,
        "num_ctx": context,
    }
    lines = [f"FROM ./{source}"]
    if adapter:
        lines.append(f"ADAPTER ./{adapter}")
    lines.append(f'TEMPLATE """{go_template(pieces)}"""')
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    lines += [f"PARAMETER {key} {value:g}" for key, value in settings.items() if value is not None]
    return "\n".join(lines) + "\n"


def export(
    folder: Path,
    out: Path,
    base: str | None = None,
    *,
    merge: bool = False,
    with_base: bool = False,
    kind: FileType = "f16",
    proof: bool = False,
) -> Exported:
    """Write ``out``; with ``merge`` one whole model instead of an adapter, with ``with_base`` the base beside it.

    With ``proof`` the export is run in llama.cpp and held against transformers, in float32 where the base is no larger
    than `EXACT_UP_TO`; what does not hold is not written.

    Raises:
        UsageError: ``out`` exists, or ``merge`` goes with ``with_base`` or ``proof``.
        LeyloraError: the adapter cannot be said in GGUF, its template not in Ollama's form, or the proof fails.
    """
    if merge and (with_base or proof):
        raise UsageError("--merge writes one whole model; --with-base and --prove go with an adapter file.")
    adapter = open_adapter(folder)
    source = base_folder(adapter, base)
    config = read_json_object(source / "config.json")
    name = template_name(folder)
    text = saved_template(folder) or (served_template(instruction_template(name)) if name else None)
    if text is None:
        raise LeyloraError(
            f"{folder} has no chat template; train with --instruction_template, or put its chat_template.jinja there."
        )
    tokenizer = load_tokenizer(str(source))
    ending = ending_of(text, tokenizer)
    special = special_tokens(tokenizer)
    stops = sorted({*ending.texts, *(special[at] for at in ending.ids if at in special)})
    pieces = pieces_of(text, tokenizer.bos_token or "", tokenizer.eos_token or "", adds_bos=adds_bos(tokenizer))
    named = preset_for(adapter.name)
    sampling = preset(named)[0] if named else Sampling()
    context = min(LONGEST_CONTEXT, int(config.get("max_position_embeddings") or LONGEST_CONTEXT))
    done = Exported(out)
    with staged_folder(out) as staging:
        lora, base_file = f"{adapter.name}.gguf", f"{source.name}.gguf"
        if merge:
            with tempfile.TemporaryDirectory(dir=staging) as work:
                whole = Path(work) / "whole"
                fold_into_base(folder, whole, str(source))
                write_model(whole, staging / lora, kind)
        else:
            done.adapter = write_lora(folder, staging / lora, config)
            if proof:
                small = sum(path.stat().st_size for path in source.glob("*.safetensors")) <= EXACT_UP_TO
                run: FileType = "f32" if small else kind
                write_model(source, staging / base_file, run)
                done.proof = prove(source, staging / base_file, staging / lora, folder, text, run)
                if not done.proof.holds:
                    found = "; ".join(done.proof.sentences())
                    raise LeyloraError(f"The export of {folder} does not compute what was trained: {found}.")
                if not (with_base and run == kind):
                    (staging / base_file).unlink()
            if with_base and not (staging / base_file).exists():
                write_model(source, staging / base_file, kind)
        model = lora if merge else base_file
        write_text(staging / "Modelfile", modelfile(model, None if merge else lora, pieces, stops, sampling, context))
        write_text(staging / "chat_template.jinja", text)
        write_text(staging / "README.md", card(adapter.name, source.name, done, model, None if merge else lora, kind))
        if (folder / "run.json").is_file():
            shutil.copyfile(folder / "run.json", staging / "run.json")
        done.files = sorted(path.name for path in staging.iterdir())
    return done


def card(name: str, base: str, done: Exported, model: str, lora: str | None, kind: str) -> str:
    """What is in the folder and how to serve it, in Spanish."""
    serve = (
        f"llama-server -m {model}"
        + (f" --lora {lora}" if lora else "")
        + " --jinja --chat-template-file chat_template.jinja"
    )
    lines = [f"# {name} en GGUF", ""]
    lines.append(
        f"El adaptador `{name}` de la base `{base}` como adaptador GGUF (`{lora}`)."
        if lora
        else f"La base `{base}` con el adaptador `{name}` dentro, en un solo archivo `{model}` ({kind})."
    )
    if lora and model not in {*done.files}:
        lines.append(f"La base va aparte, como `{model}` en esta carpeta: `export_gguf.py … --with-base` la escribe.")
    lines += ["", "    ollama create " + name + " -f Modelfile", "    " + serve, ""]
    lines.append("## Prueba")
    if done.proof:
        lines += [f"- {sentence}" for sentence in done.proof.sentences()]
    else:
        lines.append("No se ha probado: `export_gguf.py … --prove` la hace correr en llama.cpp y en transformers.")
    return "\n".join(lines) + "\n"
