"""Every shape of instruction set is read, detected, and refused with its place when it is broken."""

import pytest

from leylora.data.formats import FORMATS, Draft, convert, detect
from leylora.data.records import Fault, Record
from leylora.errors import UsageError

ALPACA = {"instruction": "Sume los números.", "input": "2 y 3", "output": "Son 5."}
EXAMPLES: dict[str, dict] = {
    "messages": {"messages": [{"role": "user", "content": "Hola"}, {"role": "assistant", "content": "Buenas"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hola"}, {"from": "gpt", "value": "Buenas"}]},
    "alpaca": ALPACA,
    "dolly": {"instruction": "Resuma.", "context": "El texto.", "response": "Un texto.", "category": "summary"},
    "argilla": {"inputs": {"1-instruction": "Sume.", "2-input": "2 y 3", "3-output": "Son 5."}, "status": None},
    "aya": {"inputs": "¿Qué hora es?", "targets": "Son las dos.", "language": "Spanish"},
    "prompt-completion": {"prompt": "Diga hola.", "completion": "Hola."},
    "question-answer": {"question": "¿Quién?", "answer": "Nadie."},
    "squad": {
        "id": "q1",
        "context": "Quito es la capital del Ecuador.",
        "question": "¿Cuál es la capital?",
        "answers": {"text": ["Quito"], "answer_start": [0]},
    },
    "summary": {"text": "Una noticia muy larga.", "summary": "Una noticia."},
    "translation": {"id": "7", "translation": {"es": "Buenos días", "en": "Good morning"}},
}


def drafts(*values: dict, format: str | None = None) -> list[Draft]:
    out = list(convert([Record(f"row {at}", value) for at, value in enumerate(values)], format))
    faults = [one for one in out if isinstance(one, Fault)]
    assert not faults, faults
    return [one for one in out if isinstance(one, Draft)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_shape_is_detected_and_read_the_same_when_forced(name: str) -> None:
    assert detect(EXAMPLES[name]) == name
    found = drafts(EXAMPLES[name])
    assert found == drafts(EXAMPLES[name], format=name)
    for draft in found:
        assert [turn["role"] for turn in draft.turns] == ["user", "assistant"]


def test_every_format_has_an_example_here() -> None:
    assert {*EXAMPLES, "oasst"} == set(FORMATS)


def test_input_joins_the_instruction_unless_it_is_a_stand_in() -> None:
    assert drafts(ALPACA)[0].turns[0]["content"] == "Sume los números.\n\n2 y 3"
    for stand_in in ("", "<noinput>", "No input", "N/A", None):
        assert drafts({**ALPACA, "input": stand_in})[0].turns[0]["content"] == "Sume los números."


def test_squad_articles_yield_one_row_a_question_and_say_when_the_text_has_no_answer() -> None:
    article = {
        "title": "Quito",
        "paragraphs": [
            {
                "context": "Quito es la capital del Ecuador.",
                "qas": [
                    {"id": "a", "question": "¿Capital?", "answers": [{"text": "Quito", "answer_start": 0}]},
                    {"id": "b", "question": "¿Alcalde?", "answers": [], "is_impossible": True},
                ],
            }
        ],
    }
    first, second = drafts(article)
    assert (first.own_id, first.turns[1]["content"]) == ("a", "Quito")
    assert second.turns[1]["content"] == "El texto no contiene la respuesta."
    assert "Texto: Quito es la capital" in second.turns[0]["content"]


def test_a_translation_goes_both_ways_under_two_ids() -> None:
    to_spanish, from_spanish = drafts(EXAMPLES["translation"])
    assert to_spanish.turns[1]["content"] == "Buenos días"
    assert from_spanish.turns[1]["content"] == "Good morning"
    assert {to_spanish.own_id, from_spanish.own_id} == {"7-es", "7-en"}
    assert to_spanish.task == "translation"


def test_conversational_prompt_and_completion() -> None:
    row = {"prompt": [{"role": "user", "content": "Hola"}], "completion": [{"role": "assistant", "content": "Buenas"}]}
    assert [turn["content"] for turn in drafts(row)[0].turns] == ["Hola", "Buenas"]
    preference = {"prompt": "Hola", "chosen": [{"role": "user", "content": "Hola"},
                                               {"role": "assistant", "content": "Buenas"}]}  # fmt: skip
    assert [turn["content"] for turn in drafts(preference)[0].turns] == ["Hola", "Buenas"]


def test_a_sharegpt_export_is_trimmed_to_begin_with_the_person_and_end_with_the_model() -> None:
    turns = [("gpt", "¿En qué ayudo?"), ("human", "Sume 2 y 2."), ("gpt", "4"), ("human", "¿Y 3 más?")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns], "system": "Sea breve."}
    found = drafts({**row, "system": ""})[0]
    assert [turn["content"] for turn in found.turns] == ["Sume 2 y 2.", "4"]


def test_system_text_and_number_of_turns_are_kept() -> None:
    turns = [("human", "Hola"), ("gpt", "Buenas"), ("human", "¿Y?"), ("gpt", "Nada.")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns], "system": "Sea breve."}
    found = drafts(row)[0]
    assert [turn["role"] for turn in found.turns] == ["system", "user", "assistant", "user", "assistant"]
    assert found.task == "conversation"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"question_id": 1, "text": "¿Cómo?"}, "no known format has the keys: question_id, text"),
        ({**ALPACA, "output": None}, "output is null"),
        ({**ALPACA, "output": {"a": None}}, "output is a dict, expected text"),
        ({**ALPACA, "input": 3}, "input is a int"),
        ({"messages": None}, "list of turns is missing"),
        ({"messages": [None]}, "turn 1 is NoneType"),
        ({"messages": [{"role": "juez", "content": "x"}]}, "unknown role 'juez'"),
        ({"messages": [{"role": "user", "content": None}]}, "turn 1 has null for its text"),
        ({"inputs": {"1-instruction": "Sume."}}, "output is missing"),
        ({"paragraphs": [{"context": "x"}]}, "paragraph 1 has no list of questions"),
        ({"context": "x", "question": "y", "answers": [None, {"text": None}]}, "answers hold no list of texts"),
        ({"translation": {"en": "a", "fr": "b"}}, "must hold Spanish"),
        ({}, "no known format has the keys: none"),
    ],
)
def test_a_broken_record_is_a_fault_with_its_place(broken: dict, reason: str) -> None:
    (fault,) = convert([Record("file.jsonl, line 7", broken)])
    assert isinstance(fault, Fault)
    assert fault.place == "file.jsonl, line 7"
    assert reason in fault.reason


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="Unknown format 'alpaka'; choose one of messages"):
        list(convert([], "alpaka"))


def test_oasst_takes_the_best_ranked_spanish_path_of_every_tree() -> None:
    def message(key: str, parent: str | None, role: str, text: str, **more: object) -> dict:
        return {"message_id": key, "parent_id": parent, "role": role, "text": text, "lang": "es", **more}

    flat = [
        message("r1", None, "prompter", "¿Qué es un páramo?"),
        message("a1", "r1", "assistant", "La segunda mejor.", rank=1),
        message("a2", "r1", "assistant", "La mejor.", rank=0),
        message("a3", "r1", "assistant", "The best in English.", rank=0, lang="en"),
        message("a4", "r1", "assistant", "Borrada.", rank=0, deleted=True),
        message("p2", "a2", "prompter", "¿Y el clima?", rank=None),
        message("b1", "p2", "assistant", "Frío.", rank=float("nan")),
        message("p3", "b1", "prompter", "Gracias."),
        message("r2", None, "prompter", "Nadie contesta."),
        message("x", "perdido", "assistant", "Sin padre."),
        {"message_id": None, "parent_id": None},
    ]
    out = list(convert([Record(f"line {at}", value) for at, value in enumerate(flat, start=1)]))
    (path,) = [one for one in out if isinstance(one, Draft)]
    assert [turn["content"] for turn in path.turns] == ["¿Qué es un páramo?", "La mejor.", "¿Y el clima?", "Frío."]
    reasons = " | ".join(one.reason for one in out if isinstance(one, Fault))
    assert "parent 'perdido' is not in the file" in reasons
    assert "nobody answered" in reasons
    assert "message_id is missing" in reasons


def test_oasst_reads_nested_trees_too() -> None:
    tree = {
        "message_tree_id": "t",
        "prompt": {
            "message_id": "t", "role": "prompter", "text": "Hola", "lang": "es",
            "replies": [
                {"message_id": "b", "role": "assistant", "text": "Peor", "rank": 1, "lang": "es", "replies": []},
                {"message_id": "a", "role": "assistant", "text": "Mejor", "rank": 0, "lang": "es"},
            ],
        },
    }  # fmt: skip
    assert [turn["content"] for turn in drafts(tree)[0].turns] == ["Hola", "Mejor"]
