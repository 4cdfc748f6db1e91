"""What can become of a file: for each kind of harm, the content that is left."""

from __future__ import annotations

from collections.abc import Callable

HARM: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: b"\x80\xfe{[" * 50,
    "one bit": lambda content: flipped(content, len(content) * 2 // 3),
}


def flipped(content: bytes, position: int, bit: int = 3) -> bytes:
    """``content`` with one bit of the byte at ``position`` turned over."""
    turned = bytes([content[position] ^ (1 << bit)])
    return content[:position] + turned + content[position + 1 :]
