"""Questions and answers from the text of laws: grounded, closed-book and to be declined, each verified."""

from leylora.grounding.abstention import is_abstention
from leylora.grounding.prompt import Passage, grounded_prompt, law_system_prompt, passage, read_grounded_prompt
from leylora.tasks.generate import TaskReport, TaskSettings, generate
from leylora.tasks.shelf import Shelf
from leylora.tasks.verify import Fault, verify_answer
from leylora.tasks.verify_row import verify_row

__all__ = [
    "Fault",
    "Passage",
    "Shelf",
    "TaskReport",
    "TaskSettings",
    "generate",
    "grounded_prompt",
    "is_abstention",
    "law_system_prompt",
    "passage",
    "read_grounded_prompt",
    "verify_answer",
    "verify_row",
]
