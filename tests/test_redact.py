"""Twelve kinds of secrets are hidden wherever another library's words are shown; ordinary settings are not."""

import pytest

from leylora.redact import is_secret, plain_address, scrubbed

SECRETS = {
    "Hugging Face token": "hf_AbCdEfGhIjKlMnOpQrStUv",
    "GitHub token": "ghp_0123456789abcdefABCDEF0123456789abcd",
    "GitHub fine-grained token": "github_pat_11ABCDEFG0abcdefghij",
    "OpenAI key": "sk-proj-abcdefghijklmnop1234",
    "Groq key": "gsk_abcdefghijklmnop1234",
    "AWS key": "AKIAIOSFODNN7EXAMPLE",
    "Google key": "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "Slack token": "xoxb-123456789012-abcdefghij",
    "JSON web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "bearer": "Authorization: Bearer s3cr3t-value-xyz",
    "password of an address": "http://ana:s3cr3t-value@host:8000/v1",
    "named": "api_key=s3cr3t-value",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_hidden_and_the_rest_of_the_sentence_kept(kind: str) -> None:
    told = scrubbed(f"The server refused {SECRETS[kind]} , check the port.")
    secret = SECRETS[kind].split()[-1].split("=")[-1].removeprefix("http://").split("@")[0]
    assert secret not in told
    assert told.startswith("The server refused ")
    assert told.endswith(" , check the port.")


@pytest.mark.parametrize(
    "text",
    [
        "LORA/mistral-7b-law: 4,096 tokens a row; sk-learn and pk.txt stay.",
        "max_new_tokens=64 and pad_token=<unk> are settings.",
        "art. 144 del COIP: la clave de la cuenta es suya.",
        "http://127.0.0.1:5000/v1 does not answer",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert scrubbed(text) == text


def test_names_of_settings() -> None:
    assert all(map(is_secret, ("hub_token", "hub-token", "push_to_hub_token", "HF_TOKEN", "wandb_api_key", "password")))
    assert not any(map(is_secret, ("pad_token", "eos_token", "max_new_tokens", "key", "tokenizer", "include_tokens")))


def test_addresses_are_shown_without_user_and_query() -> None:
    assert plain_address("https://u:p@host:8/v1?key=abc#x") == "https://host:8/v1"
