"""The lock files fit the package: every requirement is in them, at the version it is tested with, with its hash."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leylora.project import ROOT

LOCKS = ("cpu", "cuda")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)


def pins(text: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each package."""
    return {canonicalize_name(name): (version, hashes.count("sha256:")) for name, version, hashes in PIN.findall(text)}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_locked_at_the_tested_version(lock: str) -> None:
    locked = pins((ROOT / "train" / "locks" / f"{lock}.txt").read_text("utf-8"))
    tested = pins((ROOT / "constraints.txt").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(line) for line in (*project["dependencies"], *extras["train"], *extras["chat"])]
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        if name == "leylora":
            continue
        assert name in locked, f"make the locks anew (docs/security.md): {name} is missing"
        assert requirement.specifier.contains(locked[name][0].partition("+")[0])
    differing = {
        name: (version, tested[name][0])
        for name, (version, _) in locked.items()
        if name in tested and tested[name][0] != version.partition("+")[0]
    }
    assert not differing, "make the locks anew (docs/security.md)"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_has_its_hash_and_no_address_is_named(lock: str) -> None:
    text = (ROOT / "train" / "locks" / f"{lock}.txt").read_text("utf-8")
    assert all(count > 0 for _, count in pins(text).values())
    rest = PIN.sub("", text)
    assert not [line for line in rest.splitlines() if line.strip() and not line.startswith("#")]
    assert "://" not in text
    assert ("nvidia-" in text) == (lock == "cuda")


def test_a_lock_without_a_hash_is_noticed() -> None:
    assert pins("numpy==2.4.6\n") == {"numpy": ("2.4.6", 0)}
