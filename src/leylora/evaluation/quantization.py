"""The file that earlier versions of the quantisation table left beside a comparison."""

from pydantic import BaseModel, ConfigDict

QUANTIZATION_FILE = "quantization.json"


class QuantizationRow(BaseModel):
    """One precision, with the adapter or without.

    Attributes:
        dtype: what matrices are multiplied in.
        size_gib: parameters and buffers of the base, in GiB; ``peak_gib`` the most GPU memory torch had allocated
            from loading to the end of this row, None on CPU, where one process cannot tell its models apart.
        generated_per_second: tokens written, one prompt at a time; ``scored_per_second`` tokens read, in batches.
        bits_per_byte: loss of the reference answers.
        accuracy: share of the orders of multiple-choice questions whose likeliest letter is right.
        problem: why the rest is missing, in one sentence.
    """

    load: str
    adapter: str | None
    dtype: str = ""
    size_gib: float | None = None
    peak_gib: float | None = None
    load_seconds: float | None = None
    generated_per_second: float | None = None
    scored_per_second: float | None = None
    bits_per_byte: float | None = None
    accuracy: float | None = None
    problem: str = ""


class QuantizationReport(BaseModel):
    """All of ``quantization.json``. ``references`` and ``choices`` count the questions behind the last two columns."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    adapter: str | None
    device: str
    references: int
    choices: int
    seed: int
    versions: dict[str, str]
    rows: list[QuantizationRow]
