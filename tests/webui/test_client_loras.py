"""A LoRA is applied only when it is seen to act, and a failed one leaves a usable base model."""

import pytest

from leylora.webui.client import Client, LoraError

from .stand_in import State


def test_a_lora_is_proved_to_act(client: Client, state: State) -> None:
    assert client.load_lora("good").change == pytest.approx(0.14)
    client.load_lora("other")
    assert (state.named, state.acting) == (("other",), "other")
    assert [body["lora_names"] for body in state.bodies("/v1/internal/lora/load")] == [
        *[["good"], ["good"]],  # measured, taken off, measured, and put back
        *[["other"], ["other"]],
    ]
    assert not client.unload_lora().lora_names


def test_a_lora_that_changes_nothing_is_an_error(client: Client, state: State) -> None:
    with pytest.raises(LoraError, match=r"said OK, but the LoRA 'idle' changes nothing.*base model is loaded"):
        client.load_lora("idle")
    assert state.named == ()


def test_the_noise_of_a_gpu_is_not_taken_for_an_effect(client: Client, state: State) -> None:
    state.noise = 1e-4
    assert client.load_lora("good").change > 0.1
    with pytest.raises(LoraError, match="changes nothing"):
        client.load_lora("idle")


def test_a_bad_lora_after_a_good_one_leaves_the_base_model(client: Client, state: State) -> None:
    client.load_lora("good")
    with pytest.raises(LoraError, match=r"'bad' does not load.*The base model is loaded, without a LoRA"):
        client.load_lora("bad")
    assert not state.stuck
    assert client.load_lora("good").change > 0


def test_the_broken_state_is_repaired_by_loading_the_model_again(client: Client, state: State) -> None:
    state.named, state.acting = ("good",), "good"
    state.stuck = True  # what another program's swap left behind
    assert client.load_lora("good", {"load_in_4bit": True}).change > 0
    assert state.bodies("/v1/internal/model/load") == [{"model_name": "tiny-mistral", "args": {"load_in_4bit": True}}]
    state.fault = "stuck"
    with pytest.raises(LoraError, match="The base model was loaded again"):
        client.load_lora("bad")
    assert not state.stuck


def test_a_lora_that_acts_unreported_proves_nothing_for_another(client: Client, state: State) -> None:
    state.acting, state.hidden = "other", True  # two LoRAs of one rank, asked for by another program
    assert not client.info().lora_names
    assert client.load_lora("good", {"load_in_4bit": True}).change == pytest.approx(0.14)
    assert (state.named, state.acting) == (("good",), "good")
    assert state.bodies("/v1/internal/model/load") == [{"model_name": "tiny-mistral", "args": {"load_in_4bit": True}}]


def test_a_lora_that_breaks_the_probabilities_is_taken_off(client: Client, state: State) -> None:
    state.loras["nan"] = "not a number"
    with pytest.raises(LoraError, match=r"'nan' does not load.*base model is loaded"):
        client.load_lora("nan")
    assert (state.named, state.acting) == ((), None)


def test_loras_that_cannot_be(client: Client, state: State) -> None:
    with pytest.raises(LoraError, match=r"no LoRA 'missing' \(there: good, other, idle, bad\)"):
        client.load_lora("missing")
    state.loader = "llama.cpp"
    with pytest.raises(LoraError, match="only the Transformers loader"):
        client.load_lora("good")
