"""Server-sent events: from the bytes of a stream to the JSON of its events.

Understood: LF and CRLF line ends, several ``data:`` lines in one event, comment lines (the webui sends
``: ping`` after 15 silent seconds), pieces cut anywhere, also inside a character.
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from leylora.webui.client.errors import ServerFailedError, StreamCutError

DONE = "[DONE]"


class EventReader:
    """Feed it bytes as they come; it yields the events that are complete.

    ``done`` is true once ``[DONE]`` was read; what follows it is ignored.
    """

    def __init__(self) -> None:
        self.done = False
        self._decode = codecs.getincrementaldecoder("utf-8")("strict")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the JSON object of each event that ``data`` completes.

        Raises:
            StreamCutError: the bytes are not UTF-8.
            ServerFailedError: an event is not a JSON object.
        """
        try:
            self._rest += self._decode.decode(data)
        except UnicodeDecodeError:
            raise StreamCutError("The stream is not UTF-8; the server, or a proxy on the way, damaged it.") from None
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            event = self._line(line.removesuffix("\r"))
            if event is not None and not self.done:
                yield event

    def _line(self, line: str) -> dict[str, Any] | None:
        if line.startswith("data:"):
            self._data.append(line[5:].removeprefix(" "))
        if line or not self._data:
            return None
        text, self._data = "\n".join(self._data), []
        if text == DONE:
            self.done = True
            return None
        try:
            event = json.loads(text)
        except json.JSONDecodeError:
            event = None
        if not isinstance(event, dict):
            raise ServerFailedError(f"The stream holds an event that is no JSON object: {text[:80]!r}.")
        return event
