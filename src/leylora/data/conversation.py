"""The row that every step of the data path reads and writes: one conversation with its origin."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Role = Literal["system", "user", "assistant"]


class Message(BaseModel):
    """One turn. ``content`` is plain text without chat-template tokens."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Role
    content: str


class Conversation(BaseModel):
    """One training row: who said what, which task it teaches and where it comes from.

    ``articles`` are all that the last answer rests on, as ``law_id:number``, the main one (``article``) first; ``rule``
    is the kind of rule of `leylora.rules.read` that it was read off.

    Fields that do not apply are empty text and never null, so that every split of every mixture has the same Arrow
    types (``datasets`` refuses to join a column that is null in one file and text in another).
    """

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    messages: list[Message]
    task: str
    source: str
    license: str
    law_id: str = ""
    article: str = ""
    edition: str = ""
    source_sha256: str = ""
    articles: list[str] = []
    rule: str = ""

    @model_validator(mode="after")
    def _turns_alternate(self) -> Self:
        roles = [message.role for message in self.messages]
        turns = roles[1:] if roles[:1] == ["system"] else roles
        if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
            raise ValueError(
                "turns must be (system), then user and assistant alternating, assistant last; found "
                + (", ".join(roles) or "none")
            )
        return self

    @property
    def prompt(self) -> str:
        """All user turns, one per paragraph."""
        return "\n\n".join(message.content for message in self.messages if message.role == "user")

    @property
    def answer(self) -> str:
        """The last assistant turn."""
        return self.messages[-1].content

    @property
    def characters(self) -> int:
        """Length of all turns together."""
        return sum(len(message.content) for message in self.messages)
