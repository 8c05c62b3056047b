"""Hexadecimal in documents: lower case, no prefix, a stated number of bytes. One value has one text.

Texts are compared, sorted and hashed as they are. A second spelling of a point or a key would be a second point or key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema


@dataclass(frozen=True)
class Hexadecimal:
    """Makes a field of type ``str`` hold bytes: ``Annotated[str, Hexadecimal(32)]``.

    Attributes:
        sizes: how many bytes it may be; none given: any number.

    Example:
        >>> Hexadecimal(2).pattern
        '^([0-9a-f]{4})$'
    """

    sizes: tuple[int, ...]

    def __init__(self, *sizes: int) -> None:
        object.__setattr__(self, "sizes", sizes)

    @property
    def pattern(self) -> str:
        """As a regular expression."""
        return rf"^({'|'.join(f'[0-9a-f]{{{2 * size}}}' for size in self.sizes) or '([0-9a-f]{2})*'})$"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        if not handler(source).keys() <= {"type", "strict"} or source is not str:
            raise TypeError("what else is asked of the text comes after Hexadecimal")
        size = f"{' or '.join(map(str, self.sizes))} bytes in " if self.sizes else "bytes in "
        return core_schema.custom_error_schema(
            core_schema.str_schema(pattern=self.pattern, strict=True),
            custom_error_type="hexadecimal",
            custom_error_message=f"not {size}lower-case hexadecimal",
        )


#: A keccak-256 digest.
Digest = Annotated[str, Hexadecimal(32)]


def from_hex(text: str) -> bytes:
    """Strict inverse of ``bytes.hex``. Raises ValueError for any other text, without repeating it.

    Example:
        >>> from_hex("00ff") == bytes([0, 255])
        True
        >>> from_hex("00FF")
        Traceback (most recent call last):
        ...
        ValueError: not lower-case hexadecimal
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ValueError("not lower-case hexadecimal") from None
    if data.hex() != text:
        raise ValueError("not lower-case hexadecimal")
    return data
