"""Documents on disk: versioned formats, canonical bytes and digests, atomic and secret files, the error tree.

This package is the bottom of the house: it knows neither finance nor cryptography (beyond one hash
function for digests) and imports nothing else of ours.
"""

from zkmargin.formats.arrays import IntArray
from zkmargin.formats.canonical import canonical_bytes, keccak256, parse_json
from zkmargin.formats.documents import Document, Model, Seq, Since, json_in_version, load_document, save_document
from zkmargin.formats.errors import (
    Caution,
    ConstraintError,
    Hint,
    InputError,
    ProofFormatError,
    SetupError,
    VerificationError,
    ZkMarginError,
)
from zkmargin.formats.files import read_bytes, read_text, write_atomic
from zkmargin.formats.hexadecimal import Digest, Hexadecimal, from_hex
from zkmargin.formats.mappings import FrozenMap, FullMap, Map
from zkmargin.formats.plain_names import PlainName

__all__ = [
    "Caution",
    "ConstraintError",
    "Digest",
    "Document",
    "FrozenMap",
    "FullMap",
    "Hexadecimal",
    "Hint",
    "InputError",
    "IntArray",
    "Map",
    "Model",
    "PlainName",
    "ProofFormatError",
    "Seq",
    "SetupError",
    "Since",
    "VerificationError",
    "ZkMarginError",
    "canonical_bytes",
    "from_hex",
    "json_in_version",
    "keccak256",
    "load_document",
    "parse_json",
    "read_bytes",
    "read_text",
    "save_document",
    "write_atomic",
]
