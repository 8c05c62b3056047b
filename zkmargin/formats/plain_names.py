"""Names that people compare: one line, and nothing in it that cannot be seen.

Free text (descriptions, notes, reasons) may hold anything and is escaped where it is shown. A name says who somebody
is: two that look the same must be the same, and none may steer a terminal, so these characters are refused in all:
controls (Unicode category Cc), line and paragraph separators, and what Unicode calls ``Default_Ignorable_Code_Point``
(DerivedCoreProperties, version 15.1: direction overrides, joiners, variation selectors, tags). The list is fixed here:
whether a document can be read does not depend on the Unicode tables of a Python.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

#: First and last code point of what a name must not hold.
HIDDEN = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)),
    *((0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_FOUND = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in HIDDEN) + "]")


def _visible(text: str) -> str:
    found = _FOUND.search(text)
    if found is not None:
        raise PydanticCustomError(
            "visible",
            "holds a control or invisible character ({code}): a name is one line of visible ones",
            {"code": f"U+{ord(found[0]):04X}"},
        )
    return text


#: Of a party, an account, a part, a series.
PlainName = Annotated[str, AfterValidator(_visible)]
