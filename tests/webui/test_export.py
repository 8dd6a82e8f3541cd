"""Export, update, undo; and what must never happen to the user's own files."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from leylora.adapters.config import BASE_KEYS
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, sha256_file
from leylora.project import GENERATION_PRESETS
from leylora.webui import export as exports
from leylora.webui.export import MANIFEST_FILE, ExportReport, adapter_artifact, collect, export, remove
from leylora.webui.guide import next_steps

from .conftest import MakeAdapter


def states(report: ExportReport) -> dict[str, str]:
    return {f"{item.kind} {item.name}": item.state for item in report.items}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_adapter_brings_its_template_its_preset_and_an_entry(webui: Path, lora_root: Path) -> None:
    report = export(webui, ["mistral-7b-law"], lora_root)
    assert states(report) == {
        "adapter mistral-7b-law": "new",
        "template leylora-mistral": "new",
        "preset mistral-7b-law": "new",
        r"entry .*mistral-7b-v0\.1$": "new",
    }
    data = webui / "user_data"
    config = read_json(data / "loras" / "mistral-7b-law" / "adapter_config.json")
    assert sorted(config) == sorted(BASE_KEYS)
    assert config["lora_dropout"] == 0.0
    entry = yaml.safe_load((data / "models" / "config-user.yaml").read_text())[r".*mistral-7b-v0\.1$"]
    assert entry == {"instruction_template": "leylora-mistral", "temperature": 0.2, "top_p": 0.9, "top_k": 40}
    assert not list(data.rglob(".*")), "a staging file was left"


def test_no_name_means_everything_but_what_breaks_current_installs(webui: Path, lora_root: Path) -> None:
    report = export(webui, lora_root=lora_root)
    names = states(report)
    assert {"adapter mistral-7b-combined", "template leylora-falcon", "preset falcon-7b-law"} <= names.keys()
    assert "preset contrastive-search-legacy" not in names
    assert names["preset deterministic"] == "same"  # the bundled Deterministic is one file with it on Windows
    entry = yaml.safe_load((webui / "user_data" / "models" / "config-user.yaml").read_text())
    assert entry[r".*mistral-7b-v0\.1$"]["temperature"] == 0.4  # the combined adapter's
    assert set(states(export(webui, lora_root=lora_root)).values()) == {"same"}


def test_a_dry_run_writes_nothing(webui: Path, lora_root: Path) -> None:
    before = snapshot(webui)
    assert "new" in states(export(webui, lora_root=lora_root, dry_run=True)).values()
    assert snapshot(webui) == before


def test_removal_brings_the_install_back(webui: Path, lora_root: Path) -> None:
    config = webui / "user_data" / "models" / "config-user.yaml"
    config.write_text("# mine\nmine$:\n  loader: llama.cpp\n")
    before = snapshot(webui)
    export(webui, lora_root=lora_root)
    assert "removed" in states(remove(webui, dry_run=True)).values()
    assert set(states(remove(webui)).values()) == {"removed"}
    assert snapshot(webui) == before
    assert not list((webui / "user_data" / "loras").glob("mistral*"))
    with pytest.raises(LeyloraError, match="nothing was exported there"):
        remove(webui)


def test_what_the_user_changed_is_kept_by_export_and_removal(webui: Path, lora_root: Path) -> None:
    export(webui, ["mistral-7b-law"], lora_root)
    preset = webui / "user_data" / "presets" / "mistral-7b-law.yaml"
    preset.write_text("temperature: 0.33\n")
    assert states(export(webui, ["mistral-7b-law"], lora_root))["preset mistral-7b-law"] == "kept"
    assert preset.read_text() == "temperature: 0.33\n"
    assert states(export(webui, ["mistral-7b-law"], lora_root, overwrite=True))["preset mistral-7b-law"] == "replaced"
    preset.write_text("temperature: 0.33\n")
    assert states(remove(webui))["preset presets/mistral-7b-law.yaml"] == "kept"
    assert preset.is_file()


def test_an_entry_the_user_changed_is_kept(webui: Path, lora_root: Path) -> None:
    export(webui, ["mistral-7b-law"], lora_root)
    config = webui / "user_data" / "models" / "config-user.yaml"
    config.write_text(config.read_text().replace("temperature: 0.2", "temperature: 0.9"))
    assert states(export(webui, ["mistral-7b-law"], lora_root))[r"entry .*mistral-7b-v0\.1$"] == "kept"
    assert "0.9" in config.read_text()
    remove(webui)
    assert "0.9" in config.read_text()


def test_a_retrained_adapter_is_brought_up_to_date_without_force(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter
) -> None:
    export(webui, ["mistral-7b-law"], lora_root)
    mine = webui / "user_data" / "loras" / "mistral-7b-law" / "notes.txt"
    mine.write_text("my notes")
    shutil.rmtree(lora_root / "mistral-7b-law")
    make_adapter(lora_root / "mistral-7b-law", lora_alpha=16)
    assert states(export(webui, ["mistral-7b-law"], lora_root))["adapter mistral-7b-law"] == "updated"
    assert read_json(mine.parent / "adapter_config.json")["lora_alpha"] == 16
    assert mine.read_text() == "my notes"
    remove(webui)
    assert mine.is_file()


def test_an_adapter_of_that_name_that_is_not_ours_is_kept(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter
) -> None:
    theirs = make_adapter(webui / "user_data" / "loras" / "mistral-7b-law", lora_alpha=99)
    before = snapshot(theirs)
    assert states(export(webui, ["mistral-7b-law"], lora_root))["adapter mistral-7b-law"] == "kept"
    assert snapshot(theirs) == before


def test_what_is_missing_is_copied_again_and_an_empty_folder_filled(webui: Path, lora_root: Path) -> None:
    loras = webui / "user_data" / "loras"
    (loras / "mistral-7b-law").mkdir()
    assert states(export(webui, ["mistral-7b-law"], lora_root))["adapter mistral-7b-law"] == "new"
    (loras / "mistral-7b-law" / "adapter_model.safetensors").unlink()
    assert states(export(webui, ["mistral-7b-law"], lora_root))["adapter mistral-7b-law"] == "updated"
    assert (loras / "mistral-7b-law" / "adapter_model.safetensors").is_file()
    (loras / "mistral-7b-combined").mkdir()
    (loras / "mistral-7b-combined" / "adapter_model.bin").write_bytes(b"theirs")
    assert states(export(webui, ["mistral-7b-combined"], lora_root))["adapter mistral-7b-combined"] == "kept"


def test_a_failure_half_way_leaves_no_trace(webui: Path, lora_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(webui, ["mistral-7b-law"], lora_root)
    (lora_root / "mistral-7b-law" / "README.md").write_text("new")
    before = snapshot(webui)
    moves: list[Path] = []
    real = os.replace

    def failing(source: Path, target: Path) -> None:
        moves.append(Path(target))
        if len(moves) == 4:
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr(exports.os, "replace", failing)
    with pytest.raises(LeyloraError, match=r"no space left on device\); nothing was changed"):
        export(webui, lora_root=lora_root)
    assert len(moves) > 4, "the moves were not taken back"
    assert snapshot(webui) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_install(webui: Path, lora_root: Path) -> None:
    (webui / "user_data" / "loras").chmod(0o555)
    with pytest.raises(LeyloraError, match="cannot be written"):
        export(webui, ["mistral-7b-law"], lora_root)


def test_a_folder_that_is_a_file(webui: Path, lora_root: Path) -> None:
    shutil.rmtree(webui / "user_data" / "loras")
    (webui / "user_data" / "loras").write_text("")
    with pytest.raises(LeyloraError, match="cannot be written"):
        export(webui, ["mistral-7b-law"], lora_root)


def test_a_broken_config_stops_the_export_before_anything_is_copied(webui: Path, lora_root: Path) -> None:
    (webui / "user_data" / "models" / "config-user.yaml").write_text("a: [")
    before = snapshot(webui)
    with pytest.raises(LeyloraError, match="not sound YAML"):
        export(webui, lora_root=lora_root)
    assert snapshot(webui) == before


def test_linked_folders_are_followed_and_links_at_our_names_left_alone(
    webui: Path, lora_root: Path, tmp_path: Path
) -> None:
    loras = webui / "user_data" / "loras"
    shutil.rmtree(loras)
    (tmp_path / "big disk").mkdir()
    loras.symlink_to(tmp_path / "big disk")
    loras.joinpath("mistral-7b-law").symlink_to(tmp_path / "gone")
    found = states(export(webui, ["mistral-7b-law", "mistral-7b-combined"], lora_root))
    assert found["adapter mistral-7b-law"] == "kept"
    assert found["adapter mistral-7b-combined"] == "new"
    assert (tmp_path / "big disk" / "mistral-7b-combined" / "adapter_model.safetensors").is_file()


def test_a_portable_build_gets_no_adapter(webui: Path, lora_root: Path) -> None:
    (webui / "portable_env").mkdir()
    report = export(webui, ["mistral-7b-law"], lora_root)
    assert states(report) == {
        "adapter mistral-7b-law": "skipped",
        "template leylora-mistral": "new",
        "preset mistral-7b-law": "new",
    }
    assert not next_steps(report)


def test_loras_moved_elsewhere_are_found_again_from_any_folder(
    webui: Path, lora_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (webui / "user_data" / "CMD_FLAGS.txt").write_text("--lora-dir ../loras\n")
    monkeypatch.chdir(webui)
    export(Path(), ["mistral-7b-law"], lora_root)
    monkeypatch.chdir("/")
    assert set(states(remove(webui)).values()) == {"removed"}
    assert not list((webui.parent / "loras").iterdir())


def test_that_there_is_no_adapter_yet_is_said(webui: Path, tmp_path: Path) -> None:
    assert "no adapter" in export(webui, lora_root=tmp_path / "none").notes[0]


def test_a_damaged_manifest(webui: Path, lora_root: Path) -> None:
    export(webui, ["mistral-7b-law"], lora_root)
    (webui / "user_data" / "leylora-export.json").write_text("[]")
    with pytest.raises(LeyloraError, match="is damaged"):
        remove(webui)


def test_a_manifest_cannot_delete_elsewhere(webui: Path, lora_root: Path, tmp_path: Path) -> None:
    from leylora.files import sha256_file

    export(webui, ["mistral-7b-law"], lora_root)
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    manifest = webui / "user_data" / "leylora-export.json"
    content = json.loads(manifest.read_text())
    content["files"] |= {str(mine): sha256_file(mine), "loras/../../../mine.txt": sha256_file(mine)}
    manifest.write_text(json.dumps(content))
    remove(webui)
    assert mine.is_file()


# What may be exported, what is refused and why


@pytest.mark.parametrize("name", ["nothing", "..", "../../etc", "leylora-mistral.yaml", ""])
def test_unknown_names_list_the_known(webui: Path, lora_root: Path, name: str) -> None:
    with pytest.raises(LeyloraError, match=r"There is no adapter .*mistral-7b-law") as error:
        export(webui, [name], lora_root)
    assert error.value.exit_code == 1


def test_the_name_of_an_adapter_that_is_not_there_is_not_its_preset(webui: Path, lora_root: Path) -> None:
    before = snapshot(webui)
    with pytest.raises(LeyloraError, match=r"no adapter 'falcon-7b-law' .*\(there: mistral-7b-combined, ") as error:
        export(webui, ["mistral-7b-law", "falcon-7b-law"], lora_root)
    assert error.value.exit_code == 1
    assert snapshot(webui) == before
    report = export(webui, [str(GENERATION_PRESETS / "falcon-7b-law.yaml")], lora_root)
    assert states(report) == {"preset falcon-7b-law": "new"}


def test_a_path_to_an_adapter_is_a_name_too(webui: Path, lora_root: Path, make_adapter: MakeAdapter) -> None:
    elsewhere = make_adapter(lora_root.parent / "elsewhere" / "my_adapter")
    assert [found.name for found in collect([f"{elsewhere}/"], lora_root) if found.kind == "adapter"] == ["my_adapter"]
    dotted = make_adapter(lora_root.parent / "elsewhere" / "mistral-v0.1-es")
    with pytest.raises(UsageError, match="not an adapter name that text-generation-webui can load"):
        export(webui, [str(dotted)], lora_root)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"use_dora": True}, "plain|DoRA|dora"),
        ({"use_rslora": True}, "use_rslora would be lost"),
        ({"init_lora_weights": "pissa"}, "changed the base weights"),
        ({"r": 8}, "has rank 4"),
    ],
)
def test_an_adapter_that_would_not_be_the_same_is_refused(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter, config: dict[str, object], reason: str
) -> None:
    make_adapter(lora_root / "odd", **config)
    before = snapshot(webui)
    with pytest.raises(LeyloraError, match=reason):
        export(webui, ["odd"], lora_root)
    assert snapshot(webui) == before


def test_weights_that_would_do_nothing_are_refused(webui: Path, lora_root: Path, make_adapter: MakeAdapter) -> None:
    make_adapter(lora_root / "odd", prefix="")
    with pytest.raises(LeyloraError, match="no effect"):
        export(webui, ["odd"], lora_root)
    (lora_root / "mistral-7b-law" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(LeyloraError, match="damaged"):
        export(webui, ["mistral-7b-law"], lora_root)


def test_target_modules_become_a_list(lora_root: Path, make_adapter: MakeAdapter) -> None:
    folder = make_adapter(lora_root / "odd", target_modules=r".*\.(q|v)_proj")
    text = adapter_artifact(folder).files["adapter_config.json"]
    assert json.loads(str(text))["target_modules"] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.v_proj",
    ]


@pytest.mark.parametrize("name", ["README.md", "run.json", "adapter_model.safetensors"])
def test_a_link_out_of_an_adapter_is_not_exported(webui: Path, lora_root: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    source = lora_root / "mistral-7b-law" / name
    secret.write_bytes(source.read_bytes() if source.exists() else b"secret")
    source.unlink(missing_ok=True)
    source.symlink_to(secret)
    before = snapshot(webui)
    with pytest.raises(LeyloraError, match=f"{name} is a link to .*secret, outside the adapter"):
        export(webui, ["mistral-7b-law"], lora_root=lora_root)
    assert snapshot(webui) == before


def test_the_hub_s_cache_may_be_exported(webui: Path, lora_root: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--ana--law"
    blobs, folder = repository / "blobs", repository / "snapshots" / "mistral-7b-law"
    blobs.mkdir(parents=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(sorted((lora_root / "mistral-7b-law").iterdir())):
        (blobs / str(number)).write_bytes(file.read_bytes())
        (folder / file.name).symlink_to(blobs / str(number))
    assert export(webui, [str(folder)], lora_root=lora_root).states("new")


def test_a_manifest_deletes_through_no_link_and_survives_long_names(
    webui: Path, lora_root: Path, tmp_path: Path
) -> None:
    export(webui, ["mistral-7b-law"], lora_root=lora_root)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim.txt").write_text("mine")
    manifest = next(webui.rglob(MANIFEST_FILE))
    told = json.loads(manifest.read_text("utf-8"))
    loras = next(path for path in webui.rglob("loras"))
    (loras / "link").symlink_to(outside)
    home = manifest.parent
    for key in ("link/victim.txt", "n" * 300 + "/x"):
        told["files"][(loras / key).relative_to(home).as_posix()] = sha256_file(outside / "victim.txt")
    manifest.write_text(json.dumps(told), "utf-8")
    remove(webui)
    assert (outside / "victim.txt").read_text() == "mine"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_config_keeps_its_bytes_around_ours(webui: Path, lora_root: Path, mark: str) -> None:
    config = next(path for path in webui.rglob("models") if path.is_dir()) / "config-user.yaml"
    original = f"{mark}# mine\r\n.*other$:\r\n  loader: llama.cpp\n  n_ctx: 10\r\n".encode()
    config.write_bytes(original)
    export(webui, ["mistral-7b-law"], lora_root=lora_root)
    assert config.read_bytes().endswith(original.removeprefix(mark.encode()))
    assert b"\r\n" in config.read_bytes().removesuffix(original)
    remove(webui)
    assert config.read_bytes() == original
