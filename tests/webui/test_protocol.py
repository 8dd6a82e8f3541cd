"""What is checked before anything is sent: addresses, settings, names of presets and templates."""

import pytest

from leylora.errors import UsageError
from leylora.webui.client import ServerSettings
from leylora.webui.protocol import sampling_fields


def test_only_what_is_set_is_sent_so_that_any_server_takes_it() -> None:
    assert sampling_fields(max_tokens=5, temperature=0.0, stop=("\n",), model="m") == {
        "max_tokens": 5,
        "temperature": 0.0,
        "model": "m",
        "stop": ["\n"],
    }


def test_a_name_that_is_almost_ours_is_refused_and_another_is_the_server_s() -> None:
    for name in ("llama-2-13b-law", "falcon-40b-law", "Deterministic", "Creative"):
        assert sampling_fields(preset=name) == {"preset": name}
    with pytest.raises(UsageError, match=r"no preset 'mistral-7b-lau'; did you mean mistral-7b-law\?"):
        sampling_fields(preset="mistral-7b-lau")
    assert sampling_fields(extra={"preset": "mistral-7b-lau"}) == {"preset": "mistral-7b-lau"}


@pytest.mark.parametrize("url", ["", "http://", "ftp://x", "a b", "127.0.0.1:port"])
def test_what_is_not_an_address(url: str) -> None:
    if url:
        with pytest.raises(UsageError, match="not a server address"):
            ServerSettings.from_environment(url)
    else:
        assert ServerSettings.from_environment(url).url == "http://127.0.0.1:5000"
