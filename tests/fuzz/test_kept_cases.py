"""What once broke a reader is tried again; and the fuzz itself finds a planted fault."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pebble
import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leylora_fuzz", FUZZ)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fuzz = _load()
KEPT = sorted(path for path in fuzz.CASES.glob("*/*") if path.is_dir())


@pytest.mark.parametrize("case", KEPT, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_what_once_broke_a_reader_is_read_or_refused(case: Path) -> None:
    file = case / (case / "damaged.txt").read_text("utf-8").splitlines()[0]
    with pebble.ProcessPool(1, context=fuzz.PROCESSES) as pool:
        assert fuzz.judge(case.parent.name, file, pool) in ("read", "refused")


@pytest.mark.parametrize("name", [name for name in fuzz.GROUPS if name != "bases"])
def test_some_new_inputs_of_every_group(name: str, tmp_path: Path) -> None:
    with pebble.ProcessPool(1, context=fuzz.PROCESSES) as pool:
        for _, file in zip(range(12), fuzz.inputs(name, 1, tmp_path), strict=False):
            assert fuzz.judge(name, file, pool) in ("read", "refused"), fuzz.keep(name, file, "see the test")


def test_a_planted_fault_is_found_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(file: Path) -> None:
        raise ZeroDivisionError

    group = fuzz.GROUPS["mixtures"]._replace(read=faulty, own_child=True)
    monkeypatch.setitem(fuzz.GROUPS, "mixtures", group)
    monkeypatch.setattr(fuzz, "CASES", tmp_path / "cases")
    assert fuzz.main(0.001, ["mixtures"], 0) == 1
    kept = min((tmp_path / "cases" / "mixtures").iterdir())
    assert "ZeroDivisionError" in (kept / "damaged.txt").read_text()
    monkeypatch.setitem(fuzz.GROUPS, "mixtures", group._replace(read=lambda file: None))
    assert fuzz.main(0.001, ["mixtures"], 0) == 1, "an empty result is a fault too"
