"""Let a language model judge the answers of a comparison: judge.py OUT --url https://… --model NAME"""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console
from leylora.errors import UsageError

KEY = "LEYLORA_JUDGE_KEY"
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder that scripts/compare.py wrote.")],
    url: Annotated[str, typer.Option(help="Endpoint with OpenAI's API, such as http://127.0.0.1:5000.")],
    model: Annotated[str, typer.Option(help="Name of the judging model there; best of a family not compared.")],
    pair: Annotated[list[str] | None, typer.Option(help="VARIANT:AGAINST; by default merged:base.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most questions of each suite.")] = None,
    lang: Annotated[Literal["es", "en"], typer.Option(help="Language of the report.")] = "es",
) -> None:
    """Judge pairs of answers in both orders; the key, if one is needed, is read from LEYLORA_JUDGE_KEY.

    The questions and answers are sent to the endpoint. The report of the folder is written again with the verdicts.
    """
    from leylora.evaluation.judge import EndpointJudge, judge
    from leylora.evaluation.report import write_report
    from leylora.evaluation.results import load_results

    pairs = []
    for text in pair or ["merged:base"]:
        variant, colon, against = text.partition(":")
        if not (variant and colon and against):
            raise UsageError(f"'{text}' is not a pair; write it as merged:base.")
        pairs.append((variant, against))
    results = load_results(folder)
    summary = judge(results, EndpointJudge(url, model, os.environ.get(KEY)), pairs, limit=limit)
    for row in summary.rows:
        console.say(
            f"{row.model}, {row.suite}: {row.variant} against {row.against}: {row.wins} won, {row.ties} tied "
            f"({row.flipped} by order), {row.losses} lost, {row.refused} not judged; "
            f"{row.length:.0f} against {row.length_against:.0f} characters"
        )
    for family in summary.same_family:
        console.note(f"warning: the judge is of the {family} family, as one of the compared models is: not impartial.")
    console.note(f"Wrote {write_report(folder, lang)[0]}.")


if __name__ == "__main__":
    console.run(app)
