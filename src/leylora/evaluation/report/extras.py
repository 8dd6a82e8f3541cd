"""What may lie beside a comparison and belongs into its report: the judge's verdicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from leylora.errors import LeyloraError
from leylora.evaluation.judge import JUDGE_FILE, JudgeSummary
from leylora.files import read_json

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Extras:
    """None where its file is not there."""

    judge: JudgeSummary | None = None


def load_extras(folder: Path) -> Extras:
    """Read them from a folder of results.

    Raises:
        LeyloraError: a file is there and does not fit this version.
    """
    return Extras(_read(folder / JUDGE_FILE, JudgeSummary))


def _read(path: Path, kind: type[M]) -> M | None:
    if not path.is_file():
        return None
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise LeyloraError(f"{path}, {key}: {fault['msg']}; make it again, or take it out of the folder.") from None
