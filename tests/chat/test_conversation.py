"""What leaves a conversation that no longer fits, and what never does."""

from collections.abc import Sequence

import pytest

from leylora.chat.conversation import Message, TooLongError, fit, unmarked


def words(messages: Sequence[Message]) -> int:
    return sum(len(message["content"].split()) for message in messages)


def talk(turns: int, *, system: str = "sé breve") -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": system}]
    for turn in range(turns):
        messages += [
            {"role": "user", "content": f"pregunta {turn}"},
            {"role": "assistant", "content": f"respuesta {turn}"},
        ]
    return [*messages, {"role": "user", "content": "la última pregunta"}]


def test_all_is_kept_while_it_fits() -> None:
    messages = talk(3)
    fitted = fit(messages, words, 17 + 10, 10)
    assert fitted.messages == messages
    assert (fitted.dropped, fitted.tokens) == (0, 17)


def test_whole_oldest_turns_leave_and_the_system_prompt_stays() -> None:
    fitted = fit(talk(3), words, 16 + 10, 10)
    contents = [message["content"] for message in fitted.messages]
    assert contents == ["sé breve", "pregunta 1", "respuesta 1", "pregunta 2", "respuesta 2", "la última pregunta"]
    assert fitted.dropped == 1


def test_the_last_turn_stays_alone_if_need_be() -> None:
    fitted = fit(talk(3), words, 5 + 10, 10)
    assert [message["role"] for message in fitted.messages] == ["system", "user"]
    assert fitted.dropped == 3


def test_a_message_that_is_too_long_is_told_and_not_cut() -> None:
    with pytest.raises(TooLongError) as caught:
        fit(talk(2), words, 4 + 10, 10)
    assert (caught.value.tokens, caught.value.allowed) == (5, 4)
    assert "shorten it" in str(caught.value)


def test_no_room_at_all() -> None:
    with pytest.raises(TooLongError):
        fit(talk(0), words, 10, 10)


def test_two_answers_in_a_row_belong_to_one_turn() -> None:
    messages: list[Message] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "d"},
    ]
    assert fit(messages, words, 3, 0).messages == [{"role": "user", "content": "d"}]


def test_marks_are_broken_up_wherever_they_begin_and_other_text_is_left() -> None:
    def content(text: str) -> str:
        return unmarked([{"role": "user", "content": text}], ["</s>", "<s>", "<|im_end|>", "<unk>"])[0]["content"]

    assert content("Hola [/INST] sí</s>[INST] ¿y?") == "Hola [ /INST] sí< /s>[ INST] ¿y?"
    assert content("<<SYS>>x<</SYS>>") == "< <SYS>>x< </SYS>>"
    assert content("<<s>s>") == "<< s>s>"
    left = "a < b, [1] y <b>; «[inst]», 2<3>1\n\n| art. 5 |"
    assert content(left) == left
