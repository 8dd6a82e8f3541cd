"""Presets: what the webui makes of them, and as settings of an answer here."""

import re
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import DEFAULTS, Sampling, parse_preset, preset, preset_for, presets, sampling_of
from leylora.project import GENERATION_PRESETS


def test_presets_are_those_of_the_project() -> None:
    assert "contrastive-search-legacy" not in presets()
    sampling, ignored = preset("mistral-7b-law", Sampling(temperature=2, max_new_tokens=9))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.2, 0.9, 40, 9)
    assert not ignored
    assert preset("deterministic")[0].greedy
    assert preset_for("mistral-7b-law") == "mistral-7b-law"
    assert preset_for("mine") == "deterministic"


def test_what_a_preset_wants_in_vain_is_said(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("temperature: 0.5\nmirostat_mode: 2\nmirostat_tau: 5\n", "utf-8")
    sampling, ignored = preset("odd", folder=tmp_path)
    assert sampling.temperature == 0.5
    assert ignored == ["mirostat_mode"]
    (tmp_path / "broken.yaml").write_text("temperature: '0.5'\n", "utf-8")
    with pytest.raises(LeyloraError, match="cannot be used"):
        preset("broken", folder=tmp_path)
    with pytest.raises(UsageError, match="odd"):
        preset("none", folder=tmp_path)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Sampling(top_p=3)


def test_a_setting_must_be_a_finite_number() -> None:
    for key in ("top_k", "repetition_penalty", "temperature"):
        with pytest.raises(UsageError, match="finite"):
            sampling_of({key: float("inf")})
    assert sampling_of({"top_k": 40.0})[0].top_k == 40


# As the webui reads them


@pytest.mark.parametrize("path", sorted(GENERATION_PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_presets_hold_known_keys_that_differ_from_the_defaults(path: Path) -> None:
    legacy = path.stem.endswith("-legacy")
    preset = parse_preset(path.read_bytes(), (4, 34) if legacy else (5, 6))
    assert not preset.faults
    assert path.read_bytes().isascii()
    assert re.fullmatch(r"[a-z0-9-]+", path.stem)
    assert all(value != DEFAULTS[key] for key, value in preset.settings.items())
    if legacy:
        assert parse_preset(path.read_bytes(), (5, 6)).faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty instead of a mapping"),
        ("- temperature", "a list instead of"),
        ("a: [", "not YAML"),
        ("temperature: '0.5'", "is not of type int"),
        ("do_sample: 1", "is not of type bool"),
        ("top_k: true", "is not of type int"),
        ("temperature: 0", "empty answer"),
        ("max_new_tokens: 2", "not a preset key"),
        ("penalty_alpha: 0.3\ndo_sample: false", "contrastive search"),
    ],
)
def test_faulty_presets_are_seen(text: str, fault: str) -> None:
    assert fault in parse_preset(text.encode()).faults[0]


def test_what_is_wrong_only_somewhere_is_a_remark() -> None:
    assert "ignored" in parse_preset(b"num_beams: 2\ntop_k: 3").remarks[0]
    assert "code page" in parse_preset("# año\ntop_k: 3".encode()).remarks[0]
    assert parse_preset(b"\xf1: 1").faults == ("not UTF-8 (byte 0)",)
