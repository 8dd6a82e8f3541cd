"""Questions and answers written by a language model behind an OpenAI-compatible endpoint, off by default.

The model sees one article and writes questions with their answers as JSON. Each becomes a grounded row with wrong
articles in the prompt and passes the same verifier as every other row; most words of the answer must also be the
article's. Replies are kept in a JSON Lines file, so that a second build asks nothing twice and gives the same rows.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from leylora import console
from leylora.data.compose import Distractors, LawItem, LawLookup, TaskSettings, Unfit, compose
from leylora.data.conversation import Conversation
from leylora.data.generate import TaskReport
from leylora.data.mixture import WriterSettings
from leylora.data.readers import Record, read_records
from leylora.data.verify import CitableLaws, verify_answer, verify_row
from leylora.errors import LeyloraError
from leylora.files import make_folder
from leylora.grounding.prompt import passage, read_grounded_prompt
from leylora.laws.law import Law
from leylora.text import fold, one_line

ASK = """Este es un artículo de una ley del Ecuador:

{article}

Escriba {count} preguntas distintas que una persona sin estudios de derecho haría y que este artículo responde,
cada una con su respuesta en una o dos frases. La respuesta usa solo lo que dice el artículo, con sus mismas cifras
y términos, y no nombra ningún artículo. Responda únicamente con una lista JSON de objetos
{{"pregunta": "...", "respuesta": "..."}}."""
WORD = re.compile(r"[^\W\d_]{4,}")
STEM = 4  # letters two words must share to count as the same
NO_BRACES = str.maketrans("{}", "()")  # a wording is a format string
OWN_WORDS = 0.65  # share of an answer's words that must be the article's


def write_rows(
    laws: Sequence[Law],
    writer: WriterSettings,
    settings: TaskSettings,
    seed: int,
    *,
    members: set[tuple[str, str]] | None = None,
    transport: httpx2.BaseTransport | None = None,
    tick: Callable[[int], None] = lambda articles: None,
) -> tuple[list[Conversation], TaskReport]:
    """Verified rows that the model wrote about up to ``max_articles`` articles of ``members``.

    Raises:
        LeyloraError: the endpoint cannot be reached or refuses; replies received so far are kept.
    """
    lookup, citable, report = LawLookup(laws, seed), CitableLaws(laws), TaskReport()
    settings = settings.model_copy(update={"rough_questions": 0.0})
    in_force = [(law, row) for law in laws for row in law.articles if row.in_force]
    wanted = [(law, row) for law, row in in_force if members is None or (law.id, row.number) in members]
    chosen = lookup.random("model-written").sample(wanted, min(writer.max_articles, len(wanted)))
    known = _known_replies(writer.replies)
    pools = Distractors(laws, members)
    rows: list[Conversation] = []
    asked = False
    for done, (law, article) in enumerate(chosen, start=1):
        shown = passage(law, article)
        text = f"({shown.citation}) {shown.rubric}\n{shown.body}"
        prompt = ASK.format(article=text, count=writer.per_article)
        key = sha256(f"{writer.model}\n{prompt}".encode()).hexdigest()
        if key not in known:
            if not asked:
                console.note(f"Asking {writer.model} at {writer.base_url}; a key is taken from {writer.api_key_env}.")
            asked = True
            known[key] = _ask(prompt, writer, transport)
            make_folder(writer.replies.parent)
            with writer.replies.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "reply": known[key]}, ensure_ascii=False) + "\n")
        pairs = read_pairs(known[key])[: writer.per_article]
        if not pairs:
            report.drop("model-written: the reply is not a list of questions")
        for number, (question, answer) in enumerate(pairs):
            chance = lookup.random("model-written", law.id, article.number, str(number))
            item = LawItem("model-written", "grounded", article, (question.translate(NO_BRACES),), (f"{answer} {{c}}",))
            try:
                row = compose(law, item, pools, chance, settings, 100 + number).row
            except Unfit as error:
                report.drop(f"model-written: {error}")
                continue
            strict = verify_answer(row.answer, citable, read_grounded_prompt(row.prompt)[1])
            fault = next(iter([*strict, *verify_row(row, citable)]), None)
            share = support(answer, f"{article.rubric or ''} {article.body}")
            if fault is not None:
                report.drop(f"model-written: {fault.kind}", row, fault.detail)
            elif share < OWN_WORDS:
                report.drop("model-written: too few of its words are the article's", row, f"{share:.0%}")
            else:
                rows.append(row)
        tick(done)
    report.rows = len(rows)
    report.by_task["model-written"] = len(rows)
    return rows, report


def read_pairs(reply: str) -> list[tuple[str, str]]:
    """The (question, answer) pairs of a reply; code fences and words around the JSON are ignored."""
    found = re.search(r"\[.*\]", reply, re.DOTALL)
    try:
        value: Any = json.loads(found.group(0)) if found else []
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, thousands of nested lists
        return []
    pairs = []
    for one in value if isinstance(value, list) else []:
        question, answer = (one.get(key) for key in ("pregunta", "respuesta")) if isinstance(one, dict) else ("", "")
        if isinstance(question, str) and isinstance(answer, str) and question.strip() and answer.strip():
            pairs.append((one_line(question), one_line(answer)))
    return pairs


def support(answer: str, source: str) -> float:
    """Share of an answer's words of four letters and more that begin like a word of the source."""
    stems = {word[:STEM] for word in WORD.findall(fold(source))}
    words = WORD.findall(fold(answer))
    return sum(word[:STEM] in stems for word in words) / len(words) if words else 0.0


def _known_replies(file: Path) -> dict[str, str]:
    """The replies kept in ``file``, by key; a line that was cut is left out."""
    rows = read_records(file) if file.exists() else []
    return {str(row.value["key"]): str(row.value["reply"]) for row in rows if isinstance(row, Record)}


def _ask(prompt: str, writer: WriterSettings, transport: httpx2.BaseTransport | None) -> str:
    import openai  # here and not at the top: building without a model must not load it

    url, model, variable = writer.base_url, writer.model, writer.api_key_env
    http = None if transport is None else httpx2.Client(transport=transport)
    key = os.environ.get(variable, "none")
    if not key.isascii():
        raise LeyloraError(f"The key in {variable} has letters that no key has (ñ, quotes or the like); copy it again.")
    try:
        client = openai.OpenAI(base_url=url, api_key=key, timeout=writer.timeout_s, http_client=http)
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}], temperature=0.7, seed=7
        )
        return str(answer.choices[0].message.content)
    except openai.APIStatusError as error:
        code = error.status_code
        hint = f"set the key in {variable}" if code in (401, 403) else "see the server's log"
        raise LeyloraError(f"{url} answered {code} for the model {model}; {hint}.") from None
    except (openai.APIConnectionError, httpx2.InvalidURL) as error:
        raise LeyloraError(
            f"{url} cannot be reached ({type(error.__cause__ or error).__name__}); start the server, or take "
            "`writer:` out of the mixture. The replies received so far are kept."
        ) from None
    except (openai.OpenAIError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        raise LeyloraError(f"{url} does not answer like an OpenAI-compatible server; check base_url.") from None
