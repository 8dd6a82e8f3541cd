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


def test_a_preset_that_is_not_ours_is_refused_unless_it_is_said_to_be_the_server_s() -> None:
    for name in ("Creative", "no-such-preset"):
        with pytest.raises(UsageError, match=rf"no preset '{name}' in GENERATION-PRESETS \(there: .*server_preset"):
            sampling_fields(preset=name)
        assert sampling_fields(server_preset=name) == {"preset": name}
    with pytest.raises(UsageError, match="'mistral-7b-lau' in GENERATION-PRESETS; did you mean mistral-7b-law"):
        sampling_fields(preset="mistral-7b-lau")


@pytest.mark.parametrize("url", ["", "http://", "ftp://x", "a b", "127.0.0.1:port"])
def test_what_is_not_an_address(url: str) -> None:
    if url:
        with pytest.raises(UsageError, match="not a server address"):
            ServerSettings.from_environment(url)
    else:
        assert ServerSettings.from_environment(url).url == "http://127.0.0.1:5000"
