"""Presets as settings of an answer here (what the webui makes of them is tested in tests/webui)."""

from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import Sampling, preset, preset_for, presets, sampling_of


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
