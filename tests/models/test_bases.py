"""What a base's name tells without loading it."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from leylora.errors import LeyloraError
from leylora.models import bases
from leylora.models.bases import base_sha256, config_of, is_here, same_base
from leylora.models.load import load_config


def test_without_network_the_hub_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asked: list[bool] = []

    def from_pretrained(*_: object, local_files_only: bool, **__: object) -> None:
        asked.append(local_files_only)
        raise OSError("couldn't find them in the cached files")

    monkeypatch.setattr(bases, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    bases._hub_has_address.cache_clear()
    with pytest.raises(LeyloraError, match="Check the name and the network"):
        load_config("nobody/has-this")
    monkeypatch.setattr(bases, "getproxies", lambda: {"https": "http://proxy:3128"})  # which resolves names itself
    bases._hub_has_address.cache_clear()
    with pytest.raises(LeyloraError):
        load_config("nobody/has-this")
    bases._hub_has_address.cache_clear()
    assert asked == [True, False]


def test_a_configuration_is_read_without_transformers(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    assert config_of(str(tiny_base("tiny-mistral")))["model_type"] == "mistral"
    with pytest.raises(LeyloraError, match="nobody/has-this cannot be loaded"):
        config_of("nobody/has-this")
    with pytest.raises(LeyloraError, match="does not exist"):
        config_of(str(tmp_path / "nowhere"))
    with pytest.raises(LeyloraError, match=r"is a folder without config\.json, so it is not a model; name the model's"):
        config_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(LeyloraError, match="is a file and not a model"):
        config_of(str(tmp_path / "config.json"))
    with pytest.raises(LeyloraError, match="names no model_type"):
        config_of(str(tmp_path))
    assert is_here(str(tmp_path))
    assert not is_here("nobody/has-this")
    assert base_sha256("nobody/has-this", "v1") == "v1"


def test_names_of_one_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert same_base("a/b", "a/b")
    assert same_base("base", str(tmp_path / "base"))
    assert not same_base("base", None)
    assert not same_base("a/b", "a/c")


def test_finding_adapters_and_presets_loads_nothing_heavy() -> None:
    code = "import sys, leylora.adapters.discover, leylora.models.cards, leylora.models.presets\n"
    code += "assert not {'torch', 'transformers', 'datasets', 'peft', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
