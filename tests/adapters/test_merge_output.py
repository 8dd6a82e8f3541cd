"""What a merged folder holds and what the command prints."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from leylora.adapters.config import BASE_KEYS
from leylora.adapters.merge import merge
from leylora.adapters.report import MergeReport

Maker = Callable[..., Path]
SCRIPT = Path(__file__).parents[2] / "scripts" / "merge_adapters.py"


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, env={"COLUMNS": "120"}
    )


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "adapter_config.json").read_text()))


def test_the_command_from_end_to_end(make_adapter: Maker, tmp_path: Path, dense: Any) -> None:
    a, b, out = make_adapter("a"), make_adapter("ley", seed=1), tmp_path / "c"
    dry = command(a, f"{b}=0.7", "--out", out, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not out.exists()
    done = command(a, f"{b}=0.7", "--out", out, "--method", "svd", "--rank", "energy:0.9", "--weight", "ley:0=2")
    assert done.returncode == 0, done.stderr
    assert "q_proj" in done.stdout
    assert "0.7 x ley" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "merge_report.json",
        "merge_report.png",
        "merge_report.svg",
    ]
    report = MergeReport.model_validate_json((out / "merge_report.json").read_text())
    assert all(module.energy_kept >= 0.9 for module in report.modules)
    assert [parent.path for parent in report.parents] == ["../LORA/a", "../LORA/ley"]
    card = (out / "README.md").read_text()
    assert "`ley`" in card
    assert "example/tiny" in card
    assert str(tmp_path) not in card + (out / "merge_report.json").read_text()
    again = command(a, f"{b}=0.7", "--out", out)
    assert again.returncode == 2
    assert "already exists" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["LORA/a"],
        ["LORA/none", "LORA/nothing", "--out", "LORA/c"],
        ["LORA/a=x", "LORA/b", "--out", "LORA/c"],
        ["LORA/a", "LORA/b", "--out", "LORA/c", "--rank", "half"],
        ["LORA/a", "LORA/b", "--out", "LORA/c", "--weight", "x"],
        ["--check", "LORA/none"],
        ["--convert", "LORA/none"],
        ["--into-base", "full"],
        ["LORA/none", "--into-base", "full"],
    ],
)
def test_bad_arguments_are_one_sentence(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode in (1, 2)
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_help_needs_no_torch() -> None:
    code = f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    code += "except SystemExit: pass\nassert not {'torch', 'matplotlib', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_module_of_one_parent_keeps_its_rank(make_adapter: Maker, tmp_path: Path, dense: Any) -> None:
    a = make_adapter("a", r=4, only=["self_attn.q_proj", "mlp.down_proj"])
    b = make_adapter("b", r=6, seed=1, only=["self_attn.q_proj", "self_attn.k_proj"])
    report = merge([(a, 1.0), (b, 1.0)], tmp_path / "c", picture=False)
    config = config_of(tmp_path / "c")
    assert config["target_modules"] == ["down_proj", "k_proj", "q_proj"]
    patterns = {"q_proj": 10, "k_proj": 6, "down_proj": 4}
    patterns = {name: rank for name, rank in patterns.items() if rank != config["r"]}
    assert config["rank_pattern"] == config["alpha_pattern"] == patterns
    assert set(config) == {*BASE_KEYS, "rank_pattern", "alpha_pattern"}
    assert config["r"] == 10
    assert "ranks from 4 to 10" in report.warnings[0]
    for module, wanted in dense.sum([a, b], [1.0, 1.0]).items():
        assert dense.error(dense.deltas(tmp_path / "c")[module], wanted) < 1e-6


def test_targets_are_full_paths_where_a_short_name_would_catch_more(make_adapter: Maker, tmp_path: Path) -> None:
    every = make_adapter("a", only=["self_attn.q_proj"])
    regex = make_adapter("b", seed=1, only=["mlp.down_proj"], target_modules=r".*\.0\.mlp\.down_proj", layers=1)
    first = make_adapter("c", seed=2, only=["self_attn.k_proj"], layers_to_transform=[0], layers=1)
    merge([(every, 1.0), (regex, 1.0), (first, 1.0)], tmp_path / "out", picture=False)
    targets = config_of(tmp_path / "out")["target_modules"]
    assert targets == ["model.layers.0.mlp.down_proj", "model.layers.0.self_attn.k_proj", "q_proj"]


def test_a_module_without_weight_is_left_out(make_adapter: Maker, tmp_path: Path) -> None:
    from leylora.adapters.weights import Parent

    a, b = make_adapter("a"), make_adapter("b", seed=1)
    zero = (("0", 0.0),)
    merge([Parent(a, 1.0, zero), Parent(b, 1.0, zero)], tmp_path / "c", picture=False)
    assert all(".layers.1." in key for key in load_file(tmp_path / "c" / "adapter_model.safetensors"))
    assert "model.layers.1.self_attn.q_proj" in config_of(tmp_path / "c")["target_modules"]


@pytest.mark.parametrize(
    ("types", "wanted", "given"),
    [
        ((torch.bfloat16, torch.bfloat16), torch.bfloat16, None),
        ((torch.float16, torch.float16), torch.float16, None),
        ((torch.bfloat16, torch.float16), torch.float32, None),
        ((torch.bfloat16, torch.bfloat16), torch.float32, "float32"),
    ],
)
def test_output_type(
    make_adapter: Maker, tmp_path: Path, types: tuple[torch.dtype, ...], wanted: torch.dtype, given: str | None
) -> None:
    parents = [(make_adapter(f"p{at}", seed=at, dtype=kind), 0.7) for at, kind in enumerate(types)]
    report = merge(parents, tmp_path / "c", dtype=given, picture=False)
    assert {t.dtype for t in load_file(tmp_path / "c" / "adapter_model.safetensors").values()} == {wanted}
    # a weight of 0.7 is no power of two: 16-bit factors are rounded, and the report says by how much
    assert (report.mean("rounding") == 0) is (wanted == torch.float32)
    assert report.mean("rounding") < 5e-3


def test_powers_of_two_are_exact_in_16_bits(make_adapter: Maker, tmp_path: Path, dense: Any) -> None:
    parents = [make_adapter("a", dtype=torch.bfloat16), make_adapter("b", seed=1, dtype=torch.bfloat16)]
    report = merge([(parents[0], 1.0), (parents[1], 0.5)], tmp_path / "c", picture=False)
    assert report.mean("rounding") == 0
    for module, wanted in dense.sum(parents, [1.0, 0.5]).items():
        assert dense.error(dense.deltas(tmp_path / "c")[module], wanted) < 1e-12


def test_a_parent_that_drowns_the_other_is_named(make_adapter: Maker, tmp_path: Path) -> None:
    loud, quiet = make_adapter("loud", size=10.0), make_adapter("quiet", seed=1)
    report = merge([(loud, 1.0), (quiet, 1.0)], tmp_path / "c", picture=False)
    assert "loud drowns quiet" in report.warnings[0]
    assert "loud drowns quiet" in (tmp_path / "c" / "README.md").read_text()
    report = merge([(loud, 0.1), (quiet, 1.0)], tmp_path / "d", picture=False)
    assert report.warnings == []
    untrained = make_adapter("untrained", size=0.0, seed=2)
    report = merge([(quiet, 1.0), (untrained, 1.0)], tmp_path / "e", "svd", picture=False)
    assert report.warnings == ["untrained adds nothing: its weight or all its deltas are 0; was it trained?"]


def test_tokenizer_files_are_handed_on_whole_or_not_at_all(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [make_adapter("a"), make_adapter("b", seed=1)]
    vocabulary = json.dumps({"model": {"vocab": {"ley": 0}}})
    for folder in parents:
        (folder / "tokenizer.json").write_text(vocabulary)
        (folder / "chat_template.jinja").write_text("{{ messages }}")
    report = merge([(p, 1.0) for p in parents], tmp_path / "c", picture=False)
    assert report.carried_files == ["tokenizer.json", "chat_template.jinja"]
    assert (tmp_path / "c" / "tokenizer.json").read_text() == vocabulary
    (parents[1] / "chat_template.jinja").write_text("{{ other }}")
    report = merge([(p, 1.0) for p in parents], tmp_path / "d", picture=False)
    assert report.carried_files == []
    assert "chat_template.jinja is not the same in a and b" in report.warnings[0]
    assert not (tmp_path / "d" / "tokenizer.json").exists()


def test_the_picture_is_the_same_every_time(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1, only=["self_attn.q_proj"]), 0.5)]
    for name in ("c", "d"):
        merge(parents, tmp_path / name, "svd", 2)
    for name in ("merge_report.png", "merge_report.svg"):
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()


def test_interrupted_merges_leave_nothing(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]

    def stop(done: int, total: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        merge(parents, tmp_path / "c", progress=stop)
    assert sorted(tmp_path.rglob("*")) == before
