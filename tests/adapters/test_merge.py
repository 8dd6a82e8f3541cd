"""What a merge computes, held to dense float64 sums, and what it leaves in the folder."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from leylora.adapters.config import BASE_KEYS
from leylora.adapters.files import adapter_sha256, open_adapter
from leylora.adapters.merge import Parent, cosine_of_all, matches, merge, with_overrides
from leylora.adapters.report import MergeReport
from leylora.errors import UsageError

Maker = Callable[..., Path]
SCRIPT = Path(__file__).parents[2] / "scripts" / "merge_adapters.py"
WEIGHTS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.7, -0.3, 2.0])
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"]
UNCUT = 99


def test_concat_is_the_exact_weighted_sum(make_adapter: Maker, dense: Any, tmp_path: Path) -> None:
    parents = [make_adapter("a", r=4, seed=1), make_adapter("b", r=6, seed=2, use_rslora=True)]
    report = merge(list(zip(parents, (1.0, -0.7), strict=True)), tmp_path / "c", picture=False)
    wanted = dense.sum(parents, [1.0, -0.7])
    found = dense.deltas(tmp_path / "c")
    assert found.keys() == wanted.keys()
    for module, delta in wanted.items():
        assert dense.error(found[module], delta) < 1e-6
    config = json.loads((tmp_path / "c" / "adapter_config.json").read_text())
    assert sorted(config) == sorted(BASE_KEYS)
    assert config["r"] == config["lora_alpha"] == 10
    assert report.output_sha256 == adapter_sha256(tmp_path / "c")


@pytest.mark.parametrize("rank", [1, 4, 7, 99])
def test_svd_is_the_dense_optimum(make_adapter: Maker, dense: Any, tmp_path: Path, rank: int) -> None:
    parents = [make_adapter("a", r=4, seed=1), make_adapter("b", r=4, seed=2)]
    report = merge([(parents[0], 1.0), (parents[1], 0.5)], tmp_path / "c", "svd", rank, picture=False)
    found = dense.deltas(tmp_path / "c")
    for module, wanted in dense.sum(parents, [1.0, 0.5]).items():
        u, s, vh = torch.linalg.svd(wanted, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ vh[:rank]
        assert dense.error(found[module], best) < 1e-5
        entry = next(m for m in report.modules if m.module == module)
        assert entry.truncation_error == pytest.approx(float((best - wanted).norm() / wanted.norm()), abs=1e-5)
        assert entry.rank == min(rank, 8)


def test_same_inputs_same_bytes(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]
    hashes = {merge(parents, tmp_path / name, "svd", picture=False).output_sha256 for name in ("c", "d")}
    assert len(hashes) == 1


def test_the_merged_folder_opens_like_any_other(make_adapter: Maker, tmp_path: Path) -> None:
    merge([(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)], tmp_path / "c", picture=False)
    adapter = open_adapter(tmp_path / "c")
    assert all(module.scaling == 1.0 for module in adapter.modules.values())


@st.composite
def parents(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments for ``make_adapter``: rank, alpha, scaling rule, patterns, and the modules and layers it has."""
    return {
        "r": draw(st.integers(1, 8)),
        "lora_alpha": draw(st.integers(1, 32)),
        "use_rslora": draw(st.booleans()),
        "rank_pattern": draw(st.dictionaries(st.sampled_from(["q_proj", r"layers.1.*.k_proj"]), st.integers(1, 6))),
        "alpha_pattern": draw(st.dictionaries(st.sampled_from(["k_proj", "0.mlp.down_proj"]), st.integers(1, 20))),
        "layers": draw(st.integers(1, 3)),
        "only": draw(st.lists(st.sampled_from(MODULES), min_size=1, unique=True)),
        "seed": draw(st.integers(0, 5)),
    }


@pytest.mark.parametrize("method", ["concat", "svd"])
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(first=parents(), second=parents(), weights=st.tuples(WEIGHTS, WEIGHTS).filter(any))
def test_an_uncut_merge_is_the_exact_sum(
    method: Any,
    first: dict[str, Any],
    second: dict[str, Any],
    weights: tuple[float, float],
    make_adapter: Maker,
    dense: Any,
    tmp_path: Path,
) -> None:
    folders = [make_adapter("a", **first), make_adapter("b", **second)]
    rank = None if method == "concat" else UNCUT
    parents = list(zip(folders, weights, strict=True))
    report = merge(parents, tmp_path / "c", method, rank, overwrite=True, picture=False)
    found = dense.deltas(tmp_path / "c")
    for module, wanted in dense.sum(folders, list(weights)).items():
        delta = found.pop(module, torch.zeros_like(wanted))  # a module whose every weight is 0 is left out
        assert float((delta - wanted).norm()) < 1e-5 * sum(float(d.norm()) for d in _parts(dense, folders, module))
    assert not found
    # What the report says of the parents is what the dense deltas say.
    for entry in report.modules:
        for folder, norm in zip(folders, entry.norms, strict=True):
            deltas = dense.deltas(folder)
            assert (norm is None) == (entry.module not in deltas)
            if norm is not None:
                assert norm == pytest.approx(float(deltas[entry.module].norm()), rel=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(first=parents(), second=parents(), rank=st.integers(1, 6))
def test_svd_cuts_every_shared_module_optimally(
    first: dict[str, Any],
    second: dict[str, Any],
    rank: int,
    make_adapter: Maker,
    dense: Any,
    tmp_path: Path,
) -> None:
    folders = [make_adapter("a", **first), make_adapter("b", **second)]
    report = merge([(folders[0], 1.0), (folders[1], 0.5)], tmp_path / "c", "svd", rank, overwrite=True, picture=False)
    found, wanted = dense.deltas(tmp_path / "c"), dense.sum(folders, [1.0, 0.5])
    for entry in report.modules:
        total = wanted[entry.module]
        best = float(torch.linalg.svdvals(total)[rank:].norm())
        error = float((found[entry.module] - total).norm())
        assert error == pytest.approx(best, rel=1e-4, abs=1e-5 * float(total.norm()))
        assert entry.truncation_error * float(total.norm()) == pytest.approx(best, rel=1e-4, abs=1e-5)
        assert entry.rank <= rank


def _parts(dense: Any, folders: list[Path], module: str) -> list[torch.Tensor]:
    return [deltas[module] for folder in folders if module in (deltas := dense.deltas(folder))]


@pytest.mark.parametrize(
    ("pattern", "module", "hit"),
    [
        ("3", "model.layers.3.mlp.up_proj", True),
        ("3", "model.layers.13.mlp.up_proj", False),
        ("0-15", "model.layers.15.mlp.up_proj", True),
        ("0-15", "model.layers.16.mlp.up_proj", False),
        ("0-15", "lm_head", False),
        ("*.down_proj", "model.layers.3.mlp.down_proj", True),
        ("*.self_attn.*", "transformer.h.0.self_attention.dense", False),
    ],
)
def test_patterns(pattern: str, module: str, hit: bool) -> None:
    assert matches(pattern, module) is hit


def test_the_last_matching_override_wins() -> None:
    (law, other) = with_overrides([Parent(Path("LORA/law"), 0.7), Parent(Path("LORA/x"))], ["law:0-3=0", "law:2=5"])
    assert [law.weight_in(f"model.layers.{at}.q") for at in (1, 2, 4)] == [0.0, 5.0, 0.7]
    assert other.weight_in("model.layers.1.q") == 1.0
    for text in ("law=1", "law:=1", "law:0-3", "nobody:0-3=1", "law:0-3=x"):
        with pytest.raises(UsageError):
            with_overrides([Parent(Path("LORA/law"))], [text])


def test_weights_by_layer_and_module(make_adapter: Maker, dense: Any, tmp_path: Path) -> None:
    a, b = make_adapter("a"), make_adapter("b", seed=1)
    parents = with_overrides([Parent(a), Parent(b, 0.5)], ["b:1=2", "a:*.k_proj=0"])
    merge(parents, tmp_path / "c", picture=False)
    found, first, second = (dense.deltas(folder) for folder in (tmp_path / "c", a, b))
    for module, delta in found.items():
        wanted = (0 if "k_proj" in module else 1) * first[module] + (2 if ".1." in module else 0.5) * second[module]
        assert dense.error(delta, wanted) < 1e-6


@pytest.mark.parametrize("method", ["svd", "ties"])
def test_every_method_cuts_to_the_rank_asked_for(make_adapter: Maker, tmp_path: Path, method: Any) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1, r=6), 1.0)]
    report = merge(parents, tmp_path / "c", method, 3, picture=False)
    assert {module.rank for module in report.modules} == {3}
    assert report.mean("sum_error") > 0.1
    again = merge(parents, tmp_path / "d", method, 3, picture=False)
    assert again.output_sha256 == report.output_sha256


def test_default_ranks(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1, r=6), 1.0)]
    ranks = {
        method: {module.rank for module in merge(parents, tmp_path / method, method, picture=False).modules}
        for method in ("concat", "ties", "svd")
    }
    assert ranks == {"concat": {10}, "ties": {10}, "svd": {6}}


def command(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120"},
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
def test_bad_arguments_are_one_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    with pytest.raises(SystemExit) as stopped:  # any other exception is a traceback
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code in (1, 2)
    said = capsys.readouterr()
    assert said.err.count("error: ") == 1
    assert said.out == ""


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
    # a weight of 0.7 is not a power of two: 16-bit factors are rounded, and the report says by how much
    assert (report.mean("rounding") == 0) is (wanted == torch.float32)
    assert report.mean("rounding") < 5e-3


def test_powers_of_two_are_exact_in_16_bits(make_adapter: Maker, tmp_path: Path, dense: Any) -> None:
    parents = [make_adapter("a", dtype=torch.bfloat16), make_adapter("b", seed=1, dtype=torch.bfloat16)]
    report = merge([(parents[0], 1.0), (parents[1], 0.5)], tmp_path / "c", picture=False)
    assert report.mean("rounding") == 0
    for module, wanted in dense.sum(parents, [1.0, 0.5]).items():
        assert dense.error(dense.deltas(tmp_path / "c")[module], wanted) < 1e-12


def test_a_parent_that_outweighs_the_other_is_named(make_adapter: Maker, tmp_path: Path) -> None:
    loud, quiet = make_adapter("loud", size=10.0), make_adapter("quiet", seed=1)
    report = merge([(loud, 1.0), (quiet, 1.0)], tmp_path / "c", picture=False)
    assert "loud outweighs quiet" in report.warnings[0]
    assert "loud outweighs quiet" in (tmp_path / "c" / "README.md").read_text()
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


def test_deltas_that_share_or_undo_each_other_are_warned_of(make_adapter: Maker, dense: Any, tmp_path: Path) -> None:
    """An adapter and a copy with moved values, added and subtracted; two trained apart get no such warning."""
    first, other = make_adapter("a", seed=1), make_adapter("b", seed=2)
    near = tmp_path / "LORA" / "near"
    shutil.copytree(first, near)
    tensors = load_file(near / "adapter_model.safetensors")
    save_file({key: 1.1 * tensor + 0.1 for key, tensor in tensors.items()}, near / "adapter_model.safetensors")

    def warnings(weight: float, second: Path) -> str:
        return " ".join(merge([(first, 1.0), (second, weight)], tmp_path / "c", "svd", dry_run=True).warnings)

    assert "point the same way (cosine +" in warnings(1.0, near)
    assert "point against each other (cosine -" in warnings(-1.0, near)
    assert "cosine" not in warnings(1.0, other)
    modules = merge([(first, 1.0), (near, -0.5)], tmp_path / "c", "svd", dry_run=True).modules
    one, two = (torch.cat([delta.flatten() for delta in dense.deltas(folder).values()]) for folder in (first, near))
    assert cosine_of_all(modules) == pytest.approx(-float(torch.cosine_similarity(one, two, dim=0)), abs=1e-5)
