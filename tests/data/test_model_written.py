"""Rows a model writes: kept only if they pass the verifier and use the words of the article."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leylora.data.compose import TaskSettings
from leylora.data.mixture import WriterSettings
from leylora.data.model_written import read_pairs, support, write_rows
from leylora.data.verify import CitableLaws, verify_row
from leylora.errors import LeyloraError
from leylora.laws.law import Law

GOOD = {"pregunta": "¿Cuánto dura la directiva?", "respuesta": "La directiva durará dos años en sus funciones."}
BAD = [
    {"pregunta": "¿Cuánto dura la directiva?", "respuesta": "La directiva durará cuatro años en sus funciones."},
    {"pregunta": "¿Y si no?", "respuesta": "Se sanciona con multa a la directiva en sus funciones."},
    {
        "pregunta": "¿Cómo se reelige?",
        "respuesta": "Mediante elecciones libres, secretas y universales del vecindario.",
    },
    {"pregunta": "¿Dónde consta?", "respuesta": "La directiva durará en sus funciones según el artículo 5."},
]


def server(replies: list[Any], asked: list[dict]) -> httpx2.MockTransport:
    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content))
        reply = replies[min(len(asked), len(replies)) - 1]
        if isinstance(reply, httpx2.Response):
            return reply
        return httpx2.Response(200, json={"choices": [{"message": {"content": reply}}]})

    return httpx2.MockTransport(answer)


def settings(tmp_path: Path) -> WriterSettings:
    return WriterSettings(
        base_url="http://127.0.0.1:9/v1", model="m", replies=tmp_path / "replies.jsonl", per_article=4
    )


ONLY_ELEVEN = {("huertos", "11"), ("huertos", "12")}


def test_only_what_the_article_supports_is_kept(muestra: Law, tmp_path: Path) -> None:
    asked: list[dict] = []
    reply = "Claro:\n```json\n" + json.dumps([GOOD, *BAD[:3]], ensure_ascii=False) + "\n```"
    writer = settings(tmp_path).model_copy(update={"max_articles": 1})
    members = {("huertos", "11"), *(("huertos", str(at)) for at in range(13, 20))}
    for seed in range(40):  # the article that is drawn depends on the seed
        rows, report = write_rows(
            [muestra], writer, TaskSettings(), seed, members=members, transport=server([reply], asked)
        )
        if rows:
            break
    assert [row.article for row in rows] == ["11"]
    assert (
        rows[0].answer
        == "La directiva durará dos años en sus funciones. (Art. 11, Ley de Huertos Vecinales, ed. 2024-05-06)"
    )
    assert verify_row(rows[0], CitableLaws([muestra])) == []
    assert set(report.dropped) == {
        "model-written: number is not in the article",
        "model-written: names a consequence that the article does not",
        "model-written: is about something that the article does not treat",
    }


def test_replies_are_kept_and_not_asked_for_twice(muestra: Law, tmp_path: Path) -> None:
    asked: list[dict] = []
    transport = server([json.dumps([GOOD])], asked)
    first, _ = write_rows([muestra], settings(tmp_path), TaskSettings(), 1, members=ONLY_ELEVEN, transport=transport)
    assert len(asked) == 2
    second, _ = write_rows([muestra], settings(tmp_path), TaskSettings(), 1, members=ONLY_ELEVEN, transport=transport)
    assert len(asked) == 2
    assert first == second
    with (tmp_path / "replies.jsonl").open("a") as file:
        file.write('{"key": "cut')
    write_rows([muestra], settings(tmp_path), TaskSettings(), 1, members=ONLY_ELEVEN, transport=transport)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (httpx2.Response(401), "answered 401 for the model m; set the key in LEYLORA_API_KEY"),
        (httpx2.Response(500), "answered 500 for the model m; see the server's log"),
        (httpx2.Response(200, json={"hola": 1}), "does not answer like an OpenAI-compatible server"),
        (httpx2.Response(200, text="<html>"), "does not answer like an OpenAI-compatible server"),
    ],
)
def test_an_endpoint_that_fails(reply: httpx2.Response, message: str, muestra: Law, tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match=message):
        write_rows([muestra], settings(tmp_path), TaskSettings(), 1, members=ONLY_ELEVEN, transport=server([reply], []))


def test_an_endpoint_that_is_not_there(muestra: Law, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEYLORA_API_KEY", "secreta")
    with pytest.raises(LeyloraError, match=r"cannot be reached \(ConnectError\)") as raised:
        write_rows([muestra], settings(tmp_path), TaskSettings(), 1, members=ONLY_ELEVEN)
    assert "secreta" not in str(raised.value)


def test_replies_that_are_not_a_list() -> None:
    for reply in (
        "",
        "No puedo.",
        "[",
        '["a", 1, null]',
        '[{"pregunta": null, "respuesta": "x"}]',
        '[{"pregunta": "x"}]',
    ):
        assert read_pairs(reply) == []
    assert read_pairs('[{"pregunta": " ¿A? ", "respuesta": "B\\n C"}] fin') == [("¿A?", "B C")]


def test_support_counts_words_that_begin_alike() -> None:
    assert support("La directiva durará dos años", "Las directivas duran dos años") == 1.0
    assert support("Elecciones libres y secretas", "La directiva durará dos años") == 0.0
