"""Prompts as objects, for code that calls `Client.generate` and writes the template itself.

``LlamaInstructPrompt(system_prompt="…", prompt="…").full_prompt()`` is, to the character, what training and the webui
make of the same messages, the BOS in front included (the webui never puts a second one).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from leylora.models.stop_strings import render, stop_strings
from leylora.models.templates import instruction_template
from leylora.webui.client.chats import turns


class Prompt(BaseModel):
    """A text to continue as it stands."""

    prompt: str
    negative_prompt: str | None = None

    def full_prompt(self) -> str:
        """The text that is sent."""
        return self.prompt

    def stops(self) -> list[str]:
        """Strings at which an answer to this prompt ends, besides the model's own end."""
        return []


class InstructPrompt(Prompt):
    """An instruction set into a template of your own, where ``{prompt}`` stands for it."""

    instruct_template: str = "{prompt}"

    def full_prompt(self) -> str:
        return self.instruct_template.replace("{prompt}", self.prompt)


class TemplatePrompt(Prompt):
    """An instruction, and a system message if wanted, in an instruction template of the project's."""

    template: ClassVar[str]
    eos_token: ClassVar[str] = "</s>"

    system_prompt: str = ""

    def full_prompt(self) -> str:
        return _rendered(self.template, turns(self.prompt, self.system_prompt), "<s>", self.eos_token)

    def stops(self) -> list[str]:
        return _stops(self.template, self.eos_token)


class MistralInstructPrompt(TemplatePrompt):
    """Mistral 7B."""

    template = "leylora-mistral"


class LlamaInstructPrompt(TemplatePrompt):
    """Llama 2."""

    template = "leylora-llama-2"


class FalconInstructPrompt(TemplatePrompt):
    """Falcon 7B."""

    template = "leylora-falcon"
    eos_token = "<|endoftext|>"


class ChatPrompt(Prompt):
    """Several turns in an instruction template; ``prompt``, if given, is the last question."""

    prompt: str = ""
    messages: list[dict[str, Any]] = Field(min_length=1)
    template: str = "leylora-llama-2"
    bos_token: str = "<s>"
    eos_token: str = "</s>"

    def full_prompt(self) -> str:
        last = turns(self.prompt) if self.prompt else []
        return _rendered(self.template, [*self.messages, *last], self.bos_token, self.eos_token)

    def stops(self) -> list[str]:
        return _stops(self.template, self.eos_token)


def _rendered(template: str, messages: Sequence[dict[str, Any]], bos_token: str, eos_token: str) -> str:
    text = instruction_template(template)
    return render(text, messages, bos_token=bos_token, eos_token=eos_token, add_generation_prompt=True)


def _stops(template: str, eos_token: str) -> list[str]:
    """The template's stop strings without the EOS itself, which stops by its number."""
    found = stop_strings(instruction_template(template), eos_token=eos_token)
    return [stop for stop in found if stop != eos_token]
