"""Instruction sets are read from every kind of file and in every shape; a bad row is reported with its place."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from leylora.data.conversation import Conversation
from leylora.data.gate import GateReport, clean
from leylora.data.readers import FORMATS, Draft, InstructionSource, Record, RecordFault, convert, detect, read_records
from leylora.errors import LeyloraError, UsageError


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(LeyloraError, match="is no ordinary file"):
            list(read_records(tmp_path / f"{name}{suffix}"))


def test_json_lines_report_bad_lines_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [b'{"a": 1}', b"{broken", b"", '{"a": "año"}'.encode("latin-1"), b"[1]", b"null", b'{"a": 2}']
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n" + b"[" * 100_000 + b"\n")
    out = list(read_records(path))
    assert [one.value for one in out if isinstance(one, Record)] == [{"a": 1}, {"a": 2}]
    faults = {one.place: one.reason for one in out if isinstance(one, RecordFault)}
    assert "not JSON" in faults["rows.jsonl, line 2"]
    assert "not UTF-8 (byte 0xf1" in faults["rows.jsonl, line 4"]
    assert faults["rows.jsonl, line 5"] == "expected an object, found list"
    assert faults["rows.jsonl, line 6"] == "expected an object, found NoneType"
    assert "too deep" in faults["rows.jsonl, line 8"]


def test_json_documents_lists_squad_and_lines_under_a_wrong_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text, wanted in [
        ('[{"a": 1}, 2, {"a": 3}]', 2),
        ('{"version": "1.1", "data": [{"paragraphs": []}]}', 1),
        ('{"a": 1}', 1),
        ('{"a": 1}\n{"a": 2}\n', 2),
    ]:
        path.write_text(text, encoding="utf-8")
        assert sum(isinstance(one, Record) for one in read_records(path)) == wanted
    path.write_text('"nothing"', encoding="utf-8")
    with pytest.raises(LeyloraError, match="expected a list of objects, found str"):
        list(read_records(path))


def test_tables_with_commas_semicolons_and_tabs(tmp_path: Path) -> None:
    for name, text in [
        ("a.csv", 'instruction,output\n"Diga ""hola"", por favor","Hola"\n'),
        ("b.csv", '\ufeffinstruction;output\nDiga "hola", por favor;Hola\n'),
        ("c.tsv", "instruction\toutput\nDiga hola\tHola\n"),
    ]:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        (row,) = read_records(path)
        assert isinstance(row, Record)
        assert row.value["output"] == "Hola"


def test_a_table_row_of_the_wrong_width_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n1\n1,2,3\n", encoding="utf-8")
    out = list(read_records(path))
    assert [type(one) for one in out] == [Record, RecordFault, RecordFault]
    assert isinstance(out[1], RecordFault)
    assert out[1].place == "rows.csv, line 3"


def test_a_table_in_another_encoding_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("a,b\naño,1\n".encode("latin-1"))
    with pytest.raises(LeyloraError, match="save it as 'CSV UTF-8' first"):
        list(read_records(path))


def test_parquet_and_a_folder_of_files_in_name_order(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), tmp_path / "b.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 0}), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("left alone", encoding="utf-8")
    found = [one.value["a"] for one in read_records(tmp_path) if isinstance(one, Record)]
    assert found == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.parquet", b"PAR1 nothing", "not a readable Parquet file"),
        ("x.jsonl", "hola".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("x.docx", b"", "unknown kind of file"),
        ("x.json", b"{", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LeyloraError, match=message):
        list(read_records(path))


def test_a_missing_path_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        list(read_records(tmp_path / "no.jsonl"))
    with pytest.raises(LeyloraError, match="holds no"):
        list(read_records(tmp_path))


# --- shapes -----------------------------------------------------------------------------------------------------------


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
    faults = [one for one in out if isinstance(one, RecordFault)]
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
    preference = {
        "prompt": "Hola",
        "chosen": [{"role": "user", "content": "Hola"}, {"role": "assistant", "content": "Buenas"}],
    }
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
    assert isinstance(fault, RecordFault)
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
    reasons = " | ".join(one.reason for one in out if isinstance(one, RecordFault))
    assert "parent 'perdido' is not in the file" in reasons
    assert "nobody answered" in reasons
    assert "message_id is missing" in reasons


def test_oasst_reads_nested_trees_too() -> None:
    tree = {
        "message_tree_id": "t",
        "prompt": {
            "message_id": "t",
            "role": "prompter",
            "text": "Hola",
            "lang": "es",
            "replies": [
                {"message_id": "b", "role": "assistant", "text": "Peor", "rank": 1, "lang": "es", "replies": []},
                {"message_id": "a", "role": "assistant", "text": "Mejor", "rank": 0, "lang": "es"},
            ],
        },
    }
    assert [turn["content"] for turn in drafts(tree)[0].turns] == ["Hola", "Mejor"]


# --- sources of a mixture ---------------------------------------------------------------------------------------------


def load(source: InstructionSource) -> tuple[list[Conversation], GateReport]:
    """The rows of a source, through the gate."""
    return clean(source.drafts(), source=source.name, license=source.license)


def test_exactly_one_place() -> None:
    for extra in ({}, {"path": "a.jsonl", "hub": "a/b"}):
        with pytest.raises(ValidationError, match="exactly one of `path` and `hub`"):
            InstructionSource.model_validate({"name": "x", "license": "mit", **extra})


def test_columns_are_renamed_rows_filtered_and_the_task_set(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"p": "¿Qué es el sol?", "r": "Es la estrella más cercana.", "lang": "es"},
        {"p": "What?", "r": "It is the sun.", "lang": "en"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    source = InstructionSource(
        name="x",
        license="mit",
        path=path,
        columns={"prompt": "p", "completion": "r"},
        where={"lang": "es"},
        task="ciencia",
    )
    found, report = load(source)
    assert [(row.prompt, row.task, row.source, row.license) for row in found] == [
        ("¿Qué es el sol?", "ciencia", "x", "mit")
    ]
    assert report.rows_in == 1


def test_a_missing_file_stops_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="The source 'x' of the mixture is missing"):
        InstructionSource(name="x", license="mit", path=tmp_path / "no.jsonl").check()


def test_hub_rows_through_the_real_library_from_a_local_folder(tmp_path: Path) -> None:
    rows = [{"inputs": f"¿Cuánto es {n} más {n}?", "targets": f"Son {2 * n} en total."} for n in range(10)]
    marked = [{**row, "language_code": "spa" if n % 2 else "eng"} for n, row in enumerate(rows)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, marked)), encoding="utf-8")
    source = InstructionSource(name="aya", license="apache-2.0", hub=str(tmp_path), where={"language_code": "spa"})
    found, _ = load(source)
    assert [row.answer for row in found] == [f"Son {2 * n} en total." for n in (1, 3, 5, 7, 9)]
    with pytest.raises(LeyloraError, match="has no column idioma; it has inputs, targets"):
        load(InstructionSource(name="aya", license="apache-2.0", hub=str(tmp_path), where={"idioma": "es"}))


def test_offline_without_a_cached_copy_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "from leylora.data.readers import InstructionSource\n"
        "try:\n    list(InstructionSource(name='a', license='mit', hub='owner/not-cached').drafts(offline=True))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    env = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout.startswith("LeyloraError The dataset owner/not-cached could not be loaded"), done.stderr
    assert "set `path:` instead of `hub:`" in done.stdout


# --- any rows give rows or faults, never another exception -------------------------------------------------------


TEXT = st.text(st.characters(), max_size=40)  # lone surrogates included
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
WORDS = """id messages conversations role content from value instruction input output response context inputs targets
prompt completion chosen question answer answers text paragraphs qas translation es en summary message_id parent_id rank
lang system task category deleted replies"""
NAMES = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=4), max_leaves=12
)
ROWS = st.lists(st.dictionaries(NAMES | TEXT, VALUES, max_size=5), max_size=4)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.none() | st.sampled_from(FORMATS))
def test_any_object(rows: list[dict[str, Any]], format: str | None) -> None:
    found = list(convert([Record(f"row {at}", row) for at, row in enumerate(rows)], format))
    assert all(isinstance(one, Draft | RecordFault) for one in found)
    kept, report = clean(found, source="s", license="mit")
    assert report.rows_in == len(found)
    json.dumps(report.model_dump()).encode()
    for row in kept:
        row.model_dump_json().encode()
        json.dumps(row.model_dump(), ensure_ascii=False).encode()
    json.dumps(report.model_dump(), ensure_ascii=False).encode()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_lines(tmp_path_factory: Any, content: bytes) -> None:
    assume(not content.startswith((b"\xff\xfe", b"\xfe\xff")))  # UTF-16 has an error of its own
    path: Path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(content)
    assert all(isinstance(one, Record | RecordFault) for one in read_records(path))


def test_numbers_of_thousands_of_digits(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": ' + "9" * 5_000 + "}\n", encoding="utf-8")
    (fault,) = read_records(path)
    assert isinstance(fault, RecordFault)
    assert "number too long" in fault.reason
