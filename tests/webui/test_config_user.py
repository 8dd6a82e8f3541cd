"""Our entries in the user's config-user.yaml: added and removed without a byte of the user's changing."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from leylora.errors import LeyloraError
from leylora.webui.config_user import base_pattern, entries, with_entries, without_entries

OURS = {r".*mistral-7b-v0\.1$": {"instruction_template": "leylora-mistral", "temperature": 0.4, "do_sample": True}}
USERS = """\
# my models, tuned in June
TheirModel$:   # the good one
    loader: llama.cpp
    # not more than this
    ctx_size: 4096

# another
other.*: {loader: Transformers}
quoted$:
  instruction_template: 'Álvaro''s'
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment\n",
        USERS,
        "---\n" + USERS,
        "%YAML 1.2\n---\na$:\n  b: 1\n",
        USERS.replace("\n", "\r\n"),
        "a$: |\n  block\n\n  text\nb$:\n  c: 1",
        "no newline at the end$:\n  b: 1",
    ],
)
def test_adding_and_removing_gives_the_same_bytes_back(text: str) -> None:
    added = with_entries(text, OURS)
    assert entries(added, "file") == {**OURS, **entries(text)}
    assert with_entries(added, OURS) == added
    assert without_entries(added, set(OURS)) == text
    assert next(iter(yaml.safe_load(added))) == next(iter(OURS))  # before the user's: later entries win in the webui


def test_an_entry_of_ours_is_replaced_and_the_users_kept() -> None:
    newer = {next(iter(OURS)): {"instruction_template": "leylora-falcon"}}
    text = with_entries(with_entries(USERS, OURS), newer)
    assert entries(text)[next(iter(OURS))] == {"instruction_template": "leylora-falcon"}
    assert without_entries(text, set(newer)) == USERS


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9.]{0,9}\$", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["loader", "ctx_size", "instruction_template"]),
            st.text(max_size=12) | st.integers(),
            max_size=3,
        ),
    )
)
def test_whatever_the_webui_itself_wrote_comes_back(config: dict[str, dict[str, object]]) -> None:
    text = yaml.dump(config, sort_keys=False) if config else ""
    assert without_entries(with_entries(text, OURS), set(OURS)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not sound YAML"),
        ("a: 1\na: 2\n", "not sound YAML"),
        ("- a\n", "not a mapping"),
        ("just text", "not a mapping"),
        ("{a: {b: 1}}", "cannot be edited line by line"),
    ],
)
def test_files_that_cannot_be_edited_are_refused(text: str, reason: str) -> None:
    with pytest.raises(LeyloraError, match=reason):
        with_entries(text, OURS, "config-user.yaml")


@pytest.mark.parametrize(
    ("base", "folders"),
    [
        ("mistralai/Mistral-7B-v0.1", ["mistralai_Mistral-7B-v0.1", "Mistral-7B-v0.1"]),
        ("/cache/models--tiiuae--falcon-7b/snapshots/0af3", ["tiiuae_falcon-7b"]),
        (r"C:\models\tiny (1)", ["tiny (1)"]),
    ],
)
def test_the_key_matches_the_model_folder_as_the_webui_matches_it(base: str, folders: list[str]) -> None:
    key = base_pattern(base)
    assert all(re.match(key.lower(), folder.lower()) for folder in folders)
    assert not re.match(key.lower(), folders[0].lower() + "-gguf")
