"""The one exception tree of the project.

    ZkMarginError                 root; carries the process exit code
    ├── InputError          (2)   a document, option or path is wrong: file, line, field, reason
    ├── SetupError          (2)   the SRS or a cache cannot be used
    ├── ConstraintError     (1)   the claim is false: the violated rule, its integers, the shortfall
    ├── ProofFormatError    (1)   proof bytes that are not the encoding of any proof
    └── VerificationError   (1)   a well-formed proof that a check rejected

Messages never contain secrets (positions, balances, blinders), with one exception that is stated where
it happens: ``ConstraintError`` is shown to the owner of the book and holds the book's own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self


class Hint(StrEnum):
    """Ways out that more than one program has a command for. It words them itself; by itself a hint is plain advice.

    Example:
        >>> InputError("missing", hint=Hint.COMMIT).hint
        <Hint.COMMIT: 'commit to it first'>
    """

    NEW_CHALLENGE = "issue a challenge"
    GIVE_TRUST = "give a trust file"
    GIVE_ATTESTATION = "give its attestation"
    GIVE_REVOCATIONS = "give its newest list"
    GIVE_BEFORE = "give the derivation that was in force before"
    GIVE_CA = "give its authority's certificate"
    GIVE_POSTGRES = "install the extra postgres"
    POLICY_DIGEST = "list the digests of the policies that count"
    SETTLE = "settle it at its delivery price, or leave the instrument out"
    IMPORT = "import it as a market first"
    BUILD_SNAPSHOT = "build a snapshot of it first"
    COMMIT = "commit to it first"
    JOINT = "deploy the venue's contracts with one"
    ARRAYS = "risk arrays hold no prices or vols: use a market, or what takes arrays in its place"
    INSPECT = "inspect it to see what it is"
    FORCE = "name another file, or ask for it to be replaced"
    CLOSE = "settle it first, with a fill that closes it, and the cash that it is settled for"
    MIGRATE = "migrate the book to the new slots"
    NEW_UNIVERSE = "begin a new universe without what is gone, and migrate the books to it"
    EARLIER_MARKET = "give an earlier market that has it"
    NO_FILE = "is the path right? it begins in the folder that the program runs in"
    NO_FOLDER = "make the folder first"
    CHOOSE_PULL = "take the newest row of each instrument, or choose one of the pulls"


class Missing(str):
    """The way out where a file is not there: ``family`` names what was expected, as ``zkmargin/snapshot``.

    A program words it with what makes such a file; by itself it is plain advice.
    """

    __slots__ = ("family",)
    family: str

    def __new__(cls, family: str) -> Self:
        """Plain advice for a family."""
        found = super().__new__(cls, f"is the path right? a file of {family} is expected there")
        found.family = family
        return found


class ZkMarginError(Exception):
    """Root of every error this project raises on purpose.

    Attributes:
        message: one line.
        hint: what to do about it, if anything.
        subject: the name of what it is about, where several were worked on; set by who knows it.
        facts: what else a program should get with it.

    Example:
        >>> try:
        ...     load_policy("spam")
        ... except ZkMarginError as error:
        ...     print(error.exit_code, error.message)
        2 spam: no such policy, and no such file
    """

    exit_code = 2
    subject: str | None = None
    facts: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Copied between processes as it is: attributes, not the arguments that made it."""
        return _rebuilt, (type(self), self.args, self.__dict__)

    def as_facts(self) -> dict[str, Any]:
        """The error for programs: its type, its message, and whatever it names; nothing that the message hides."""
        named = ("file", "field", "line", "check", "rule", "subject", "hint")
        found = {name: getattr(self, name, None) for name in named}
        shown = {name: value for name, value in found.items() if value is not None}
        return {"type": type(self).__name__, "message": self.message, "exit_code": self.exit_code, **shown}


def _rebuilt(kind: type[ZkMarginError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> ZkMarginError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


class InputError(ZkMarginError):
    """Bad input: names the file, the line where that is known, the field and the reason.

    Example:
        >>> error = InputError("missing", field="name").located(file="policy.json")
        >>> str(error), error.as_facts()["field"]
        ('policy.json: name: missing', 'name')
    """

    exit_code = 2

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        field: str | None = None,
        line: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.reason, self.file, self.field, self.line = reason, file, field, line
        where = file or ""
        if line is not None:
            where = f"{where or 'line'}:{line}"
        super().__init__(": ".join(part for part in (where, field or "", reason) if part), hint=hint)

    def located(self, *, file: str | None = None, line: int | None = None) -> InputError:
        """The same error with the file (and line) filled in where they were missing."""
        found = InputError(
            self.reason,
            file=self.file or file,
            field=self.field,
            line=self.line if self.line is not None else line,
            hint=self.hint,
        )
        found.facts = self.facts
        return found


class SetupError(ZkMarginError):
    """The structured reference string or a derived table is missing, damaged or not the expected one.

    Example:
        >>> SetupError("the setup has too few powers", hint="take the embedded one").hint
        'take the embedded one'
    """

    exit_code = 2


class ConstraintError(ZkMarginError):
    """The claim is false for this book. For the book's owner only: it holds the book's numbers.

    ``rule`` is the violated rule's name, ``shortfall`` the missing amount in the rule's own integer unit.

    Example:
        >>> try:
        ...     prove(Statement.of(snapshot, [commitment], Claim(3)), book, [opening])
        ... except ConstraintError as error:
        ...     print(error.exit_code, error.shortfall is not None)
        1 True
    """

    exit_code = 1

    def __init__(self, message: str, *, rule: str, shortfall: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule, self.shortfall = rule, shortfall


class ProofFormatError(ZkMarginError):
    """Bytes that do not encode a proof: length, magic, version, a scalar or a point.

    Example:
        >>> try:
        ...     verify(statement, proof[:-1])
        ... except ProofFormatError as error:
        ...     print(error.exit_code)
        1
    """

    exit_code = 1


class VerificationError(ZkMarginError):
    """A well-formed proof that was rejected; ``check`` names the check that failed.

    Example:
        >>> try:
        ...     verify(Statement.of(snapshot, [commitment], Claim("1.2")), proof)
        ... except VerificationError as error:
        ...     print(error.check, error.exit_code)
        pairing 1
    """

    exit_code = 1

    def __init__(self, message: str, *, check: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.check = check


@contextmanager
def about(subject: str | None) -> Iterator[None]:
    """Errors inside are about ``subject``, unless they say otherwise."""
    try:
        yield
    except ZkMarginError as error:
        error.subject = error.subject or subject
        raise


class Caution(UserWarning):
    """A warning for users, issued with ``warnings.warn``: what is dangerous, and what to do about it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warnings.warn(Caution("others can read the file", hint="chmod 600 FILE"))
        >>> str(caught[0].message)
        'others can read the file'
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __reduce__(self) -> tuple[type[Caution], tuple[str, str | None]]:
        return type(self), (self.message, self.hint)
