"""Where a mixture's built dataset lies."""

from pathlib import Path

from leylora.data.mixture import Mixture
from leylora.errors import LeyloraError
from leylora.files import read_json
from leylora.project import shown

BUILT = Path("data/build")


def built_dataset(mixture: Path) -> Path:
    """The folder ``data/build/NAME`` of the dataset that was built from a mixture of that name.

    Raises:
        LeyloraError: the mixture cannot be read, was not built yet (the message has the command), or the folder holds
            the dataset of another mixture.
    """
    plan = Mixture.load(mixture)
    folder = BUILT / plan.name
    laws = f" --laws {BUILT / 'laws'}" if plan.laws is not None else ""
    command = f"python scripts/build_dataset.py --mixture {shown(mixture)}{laws} --out {folder}"
    if not (folder / "train.jsonl").is_file():
        raise LeyloraError(f"The mixture {shown(mixture)} was not built yet; build it with: {command}")
    report = folder / "report.json"
    name = read_json(report).get("name") if report.is_file() else None
    if name != plan.name:
        held = f"the dataset {name}" if name else "a dataset of no mixture"
        raise LeyloraError(f"{folder} holds {held}, not {plan.name}; build it with: {command} --overwrite")
    return folder
