"""Make the embedded setup's data file from the published ceremony: ``python -m crypto.make_srs SOURCE [-o FILE]``.

SOURCE is ``eth_account/typed_transactions/blob_transactions/kzg_trusted_setup.txt`` of the registry package
eth-account 0.13 or 0.14 (PyPI, MIT licence), whose SHA-256 is pinned below. Everything about it is checked on the
way, and the output is the same byte for byte every time.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

from zkmargin.crypto.g2_powers import EXPONENTS, FILE, FILE_DIGEST, check_g2_power, encode
from zkmargin.crypto.group import decode_g2
from zkmargin.crypto.srs import EMBEDDED_DIGEST, EMBEDDED_FILE, SRS
from zkmargin.crypto.srs_files import MAX_FILE_BYTES, load
from zkmargin.formats import SetupError, ZkMarginError, keccak256, read_bytes, write_atomic

SOURCE_SHA256 = "d39b9f2d047cc9dca2de58f264b6a09448ccd34db967881a6713eacacf0f26b7"


def make(source: str | Path) -> SRS:
    """The embedded setup, from the published text.

    Raises:
        InputError: the source cannot be read.
        SetupError: the source or the outcome is not the pinned one, or a check fails.
    """
    if hashlib.sha256(read_bytes(source, max_bytes=MAX_FILE_BYTES)).hexdigest() != SOURCE_SHA256:
        raise SetupError(f"{source}: not the published ceremony: its SHA-256 is not the pinned one")
    srs = load(source)
    if srs.digest != EMBEDDED_DIGEST:
        raise SetupError(f"{source}: gives the digest {srs.digest.hex()}, not the pinned one")
    return srs


def make_g2_powers(source: str | Path) -> bytes:
    """The file of further powers in G2, from the same text: each is checked against the setup.

    Raises:
        InputError: the source cannot be read.
        SetupError: the source or the outcome is not the pinned one, or a check fails.
    """
    srs = make(source)
    words = read_bytes(source, max_bytes=MAX_FILE_BYTES).split()
    first = 2 + int(words[0])
    points = []
    for exponent in EXPONENTS:
        data = bytes.fromhex(words[first + exponent].decode("ascii"))
        check_g2_power(srs, exponent, decode_g2(data))
        points.append(data)
    made = encode(srs.digest, points)
    if keccak256(made) != FILE_DIGEST:
        raise SetupError(f"{source}: gives powers in G2 with the digest {keccak256(made).hex()}, not the pinned one")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m crypto.make_srs", description="Make the embedded setup.")
    parser.add_argument("source", help="kzg_trusted_setup.txt of the package eth-account")
    parser.add_argument("-o", "--output", default=str(EMBEDDED_FILE), help="where to write (the package's data file)")
    options = parser.parse_args(arguments)
    try:
        srs = make(options.source)
        write_atomic(options.output, srs.encoding)
        write_atomic(Path(options.output).with_suffix(FILE.suffix), make_g2_powers(options.source))
    except ZkMarginError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    sys.stdout.write(f"{options.output}: {srs.name}, {srs.powers} powers, digest {srs.digest.hex()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
