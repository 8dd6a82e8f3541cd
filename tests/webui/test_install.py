"""Every layout the webui has had, and the flags that move its folders."""

from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.webui.install import find_install


def test_every_way_to_name_a_current_install(webui: Path) -> None:
    for path in (webui, webui / "user_data", webui.parent):
        install = find_install(path)
        assert install.root == webui
        assert install.loras == webui / "user_data" / "loras"
        assert not install.notes


def test_a_bare_user_data_folder(webui: Path) -> None:
    (webui / "server.py").unlink()
    assert find_install(webui / "user_data").root is None
    assert find_install(webui).data == webui / "user_data"


def old_install(root: Path) -> Path:
    for name in ("loras", "presets", "instruction-templates", "models"):
        (root / name).mkdir(parents=True)
    (root / "server.py").write_text("")
    (root / "requirements.txt").write_text("peft==0.5.*\ntransformers==4.34.*\n")
    return root


def test_the_old_layout(tmp_path: Path) -> None:
    root = old_install(tmp_path / "old")
    install = find_install(root)
    assert (install.loras, install.presets) == (root / "loras", root / "presets")
    assert (install.pins.get("peft"), install.pins.get("transformers"), install.pins.get("torch")) == (
        (0, 5),
        (4, 34),
        None,
    )


def test_the_oldest_layout_says_that_it_reads_no_jinja(tmp_path: Path) -> None:
    root = old_install(tmp_path / "oldest")
    (root / "instruction-templates").rmdir()
    folder = root / "characters" / "instruction-following"
    folder.mkdir(parents=True)
    (folder / "Alpaca.yaml").write_text("user: x\nturn_template: y\n")
    install = find_install(root)
    assert install.templates == folder
    assert "December 2023" in install.notes[0]


def test_both_layouts_at_once_prefers_the_one_that_is_read(webui: Path) -> None:
    (webui / "loras" / "left-behind").mkdir(parents=True)
    install = find_install(webui)
    assert install.loras == webui / "user_data" / "loras"
    assert "no longer read" in install.notes[0]


def test_flags_move_folders(webui: Path, tmp_path: Path) -> None:
    flags = webui / "user_data" / "CMD_FLAGS.txt"
    flags.write_text(f'# a comment\n--api \\\n--lora-dir "{tmp_path}/my loras" --model-dir=elsewhere\n')
    install = find_install(webui)
    assert install.loras == tmp_path / "my loras"
    assert install.models == webui / "elsewhere"
    assert install.presets == webui / "user_data" / "presets"


def test_a_moved_user_data_takes_presets_but_not_loras(webui: Path, tmp_path: Path) -> None:
    (webui / "user_data" / "CMD_FLAGS.txt").write_text(f"--user-data-dir {tmp_path}/data\n")
    install = find_install(webui)
    assert install.presets == tmp_path / "data" / "presets"
    assert install.loras == webui / "user_data" / "loras"
    assert "unless --lora-dir" in install.notes[0]


def test_an_unclosed_quote_in_the_flags(webui: Path) -> None:
    (webui / "user_data" / "CMD_FLAGS.txt").write_text('--lora-dir "oh\n')
    with pytest.raises(LeyloraError, match=r"CMD_FLAGS\.txt: a quote is not closed"):
        find_install(webui)


@pytest.mark.parametrize("sign", ["portable_env", "flag"])
def test_portable_builds_are_recognised(webui: Path, sign: str) -> None:
    if sign == "flag":
        (webui / "user_data" / "CMD_FLAGS.txt").write_text("--portable\n")
    else:
        (webui / sign).mkdir()
    install = find_install(webui)
    assert install.portable
    assert "cannot load LoRAs" in install.notes[0]


def test_the_start_script_of_the_full_install_does_not_make_it_portable(webui: Path) -> None:
    script = 'if [ -d "portable_env" ]; then\n  ./portable_env/bin/python3 server.py --portable --api "$@"\nfi\n'
    (webui / "start_linux.sh").write_text(script)
    assert not find_install(webui).portable


def test_a_portable_build_with_a_window_of_its_own(tmp_path: Path) -> None:
    app = tmp_path / "textgen-4.9" / "app"
    (app / "portable_env").mkdir(parents=True)
    (app / "server.py").write_text("")
    (tmp_path / "textgen-4.9" / "user_data").mkdir()
    for path in (app, app.parent, tmp_path):
        install = find_install(path)
        assert install.portable
        assert install.data == tmp_path / "textgen-4.9" / "user_data"


def test_a_portable_build_shares_the_user_data_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "textgen-4.9"
    (root / "portable_env").mkdir(parents=True)
    (root / "user_data").mkdir()
    (root / "server.py").write_text("")
    (tmp_path / "user_data").mkdir()
    assert find_install(root).data == tmp_path / "user_data"


def test_places_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        find_install(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds no text-generation-webui"):
        find_install(tmp_path)
    (tmp_path / "server.py").write_text("")
    with pytest.raises(UsageError, match="start the webui once first"):
        find_install(tmp_path)


def test_folders_are_absolute_and_links_stay(webui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (webui / "user_data" / "CMD_FLAGS.txt").write_text("--lora-dir ../loras\n")
    monkeypatch.chdir(webui / "user_data")
    assert find_install(Path("..")).loras == tmp_path / "loras"
    (tmp_path / "link").symlink_to(webui)
    assert find_install(tmp_path / "link").root == tmp_path / "link"
