"""The demo's last page: every model's base and adapters, asked the same held-out questions."""

from collections.abc import Sequence
from pathlib import Path

from leylora.demo.job import BUILD, Demo
from leylora.evaluation.items import Sources
from leylora.evaluation.report import write_report
from leylora.evaluation.run import Settings, compare

QUESTIONS, ANSWER_TOKENS = 24, 40  # a suite, an answer: enough to show the page in less than a minute a model
ROLES = {"instructions": "instructions", "law": "law", "merged": "combined"}


def write_closing_report(demos: Sequence[Demo]) -> Path:
    """Compare what the demos made and give the page.

    Questions come from the test rows of the demo's own datasets: the benchmark asks of real laws, and models this
    small know none.
    """
    first = demos[0]
    out = BUILD / "demo" / (f"report-{first.law_id}" if first.law_id else "report")
    law_id = first.law_id or "ley-de-muestra"
    quick = first.quick
    compare(
        [str(demo.base) for demo in demos],
        out,
        adapters=[",".join(f"{role}={demo.lora(name)}" for role, name in ROLES.items()) for demo in demos],
        sources=Sources(
            benchmark=None,
            laws=(BUILD / "demo" / "laws" / law_id,),
            law_rows=(first.law_data,),
            instruction_rows=(BUILD / "tiny-instructions",),
        ),
        settings=Settings(max_new_tokens=4 if quick else ANSWER_TOKENS, limit=3 if quick else QUESTIONS),
        command="make demo",
    )
    return write_report(out)[0]
