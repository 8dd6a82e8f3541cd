"""Folders of results appear whole or not at all, and nothing of the user's is lost on the way."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from leylora import folders
from leylora.errors import LeyloraError, UsageError
from leylora.folders import staged_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(final: Path, *files: str, overwrite: bool = False) -> None:
    with staged_folder(final, overwrite=overwrite) as folder:
        for name in files:
            (folder / name).write_text(name)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "new") as folder:
        (folder / "a.txt").write_text("a", encoding="utf-8")
        assert not (tmp_path / "new").exists()
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["a.txt"]
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "failed") as folder:
        (folder / "none" / "a.txt").write_text("a", encoding="utf-8")
    assert names(tmp_path) == ["new"]


@pytest.fixture(params=["exchanged", "in two steps", "without renameat2"])
def _means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways a system replaces a folder: Linux, a file system that cannot exchange, another system."""
    if request.param == "in two steps":
        real = folders._rename

        def without_exchange(source: Path, target: Path, flag: int) -> None:
            if flag == folders.EXCHANGE:
                raise OSError(22, "Invalid argument")
            real(source, target, flag)

        monkeypatch.setattr(folders, "_rename", without_exchange)
    if request.param == "without renameat2":
        monkeypatch.setattr(folders, "_renameat2", lambda: None)


@pytest.mark.usefixtures("_means")
def test_a_folder_is_replaced_only_when_asked_and_only_by_a_whole_one(tmp_path: Path) -> None:
    written(tmp_path / "x", "run.json")
    with pytest.raises(UsageError, match="already exists"), staged_folder(tmp_path / "x"):
        raise AssertionError("the block must not run")
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "x", overwrite=True):
        raise KeyboardInterrupt
    assert names(tmp_path / "x") == ["run.json"]
    written(tmp_path / "x", "law.json", overwrite=True)
    assert names(tmp_path / "x") == ["law.json"], "what an earlier run of ours wrote is gone"
    assert names(tmp_path) == ["x"]


@pytest.mark.usefixtures("_means")
def test_what_is_not_ours_is_carried_over(tmp_path: Path) -> None:
    written(tmp_path / "x", "law.json")
    (tmp_path / "x" / "mis-notas.txt").write_text("un mes de trabajo")
    (tmp_path / "x" / "anexos").mkdir()
    (tmp_path / "x" / "anexos" / "a.docx").write_text("más")
    (tmp_path / "x" / "enlace").symlink_to(tmp_path)
    written(tmp_path / "x", "law.json", overwrite=True)
    assert names(tmp_path / "x") == ["anexos", "enlace", "law.json", "mis-notas.txt"]
    assert (tmp_path / "x" / "mis-notas.txt").read_text() == "un mes de trabajo"
    assert (tmp_path / "x" / "anexos" / "a.docx").read_text() == "más"
    assert (tmp_path / "x" / "enlace").is_symlink()


@pytest.mark.usefixtures("_means")
def test_a_folder_that_appeared_meanwhile_is_left_alone_and_the_work_kept(tmp_path: Path) -> None:
    def work() -> None:
        with staged_folder(tmp_path / "x") as folder:
            (folder / "result").touch()
            for name in ("x", "x-2"):
                (tmp_path / name).mkdir()
                (tmp_path / name / "precious.txt").touch()

    with pytest.raises(LeyloraError, match=r"appeared while this ran, .* kept in .*x-3"):
        work()
    assert names(tmp_path) == ["x", "x-2", "x-3"]
    assert names(tmp_path / "x") == ["precious.txt"]
    assert names(tmp_path / "x-3") == ["result"]


@pytest.mark.parametrize("exchange", [True, False])
def test_when_the_replacement_fails_the_old_folder_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    written(tmp_path / "x", "run.json")
    real = os.replace

    def fails(source: Path, target: Path, *_: object) -> None:
        if str(source).endswith(".partial"):
            raise OSError(5, "Input/output error")
        real(source, target)

    if exchange:
        monkeypatch.setattr(folders, "_rename", fails)
    else:
        monkeypatch.setattr(folders, "_renameat2", lambda: None)
        monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="Input/output"):
        written(tmp_path / "x", "law.json", overwrite=True)
    assert names(tmp_path / "x") == ["run.json"]
    assert names(tmp_path) == ["x"]


def test_a_link_and_a_file_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError, match=r"link is a link to .*real; name that folder"):
        written(tmp_path / "link", overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is a file; choose another name"):
        written(tmp_path / "file", overwrite=True)
    with pytest.raises(LeyloraError, match="is a file, so nothing can be written below it"):
        written(tmp_path / "file" / "deep")
    assert names(tmp_path) == ["file", "link", "real"]


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from leylora import folders
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
step, final = sys.argv[1], Path(sys.argv[2])
if step == "before": folders._replace = die
if step == "first":
    folders._renameat2 = lambda: None
    real = os.replace
    os.replace = lambda a, b: (real(a, b), die())
if step == "second":
    folders._renameat2 = lambda: None
    folders.shutil.rmtree = die
if step == "exchanged":
    folders.shutil.rmtree = die
with folders.staged_folder(final, overwrite=True) as folder:
    (folder / "law.json").write_text("new")
"""


@pytest.mark.parametrize(
    ("step", "content"), [("before", "old"), ("first", "old"), ("second", "new"), ("exchanged", "new")]
)
def test_killed_at_any_step_the_old_or_the_new_folder_is_there_at_the_next_start(
    tmp_path: Path, step: str, content: str
) -> None:
    final = tmp_path / "x"
    final.mkdir()
    (final / "law.json").write_text("old")
    (final / "mis-notas.txt").touch()
    killed = subprocess.run([sys.executable, "-c", KILLED_AT, step, str(final)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(UsageError, match="already exists"):
        written(final)  # any next run for this name, even one that replaces nothing
    assert (final / "law.json").read_text() == content
    assert names(final) == ["law.json", "mis-notas.txt"]
    assert names(tmp_path) == ["x"], "nothing is left over"


def test_a_living_writer_of_the_same_name_is_not_swept_away(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow() -> None:
        with staged_folder(tmp_path / "x", overwrite=True) as folder:
            (folder / "law.json").write_text("slow")
            inside.set()
            leave.wait(20)

    writer = threading.Thread(target=slow)
    writer.start()
    assert inside.wait(20)
    written(tmp_path / "x", "audit.json")
    leave.set()
    writer.join()
    assert names(tmp_path / "x") == ["law.json"]
    assert names(tmp_path) == ["x"]


def test_many_writers_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with staged_folder(tmp_path / "x", overwrite=True) as folder:
            (folder / "law.json").write_text(str(number))
            (folder / "audit.json").write_text(str(number))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x" / "law.json").read_text() == (tmp_path / "x" / "audit.json").read_text()
