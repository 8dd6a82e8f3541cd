"""Spanish instruction sets of any common shape, read into `Conversation` rows and passed through a quality gate."""

from leylora.instructions.conversation import Conversation, Message
from leylora.instructions.formats import FORMATS, convert, detect
from leylora.instructions.gate import GateReport, GateSettings, clean
from leylora.instructions.records import Fault, Record, read_records
from leylora.instructions.source import Source

__all__ = [
    "FORMATS",
    "Conversation",
    "Fault",
    "GateReport",
    "GateSettings",
    "Message",
    "Record",
    "Source",
    "clean",
    "convert",
    "detect",
    "read_records",
]
