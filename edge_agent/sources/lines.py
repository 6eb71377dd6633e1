"""Cuts a stream of bytes into lines; what is no line of usable length is set aside with its reason."""

from edge_agent.ports import RefusedRow

LINE_MAX_BYTES = 64 * 1024


class LineBuffer:
    """The end of a stream whose line is not complete yet; some 64 KiB at most."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def take(self, received: bytes) -> list[bytes | RefusedRow]:
        """The lines that are complete now, without their ends and without empty ones."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        found: list[bytes | RefusedRow] = []
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            elif len(line) > LINE_MAX_BYTES:
                found.append(_too_long(line))
            elif stripped := line.strip():
                found.append(stripped)
        if len(self._rest) > LINE_MAX_BYTES:
            if not self._is_skipping:
                found.append(_too_long(self._rest))
            self._is_skipping, self._rest = True, b""
        return found

    def end(self) -> list[RefusedRow]:
        """What is left when the stream ends: half a line is nothing that could be trusted."""
        rest, self._rest = self._rest.strip(), b""
        is_told, self._is_skipping = self._is_skipping, False
        return [] if is_told or not rest else [RefusedRow(rest, "the connection ended within this line")]


def _too_long(line: bytes) -> RefusedRow:
    return RefusedRow(line[:LINE_MAX_BYTES], f"a line of more than {LINE_MAX_BYTES} bytes; this is its beginning")
