"""Signed changes: accounts, tokens, webhooks. Each works once, and each is in the audit log."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from zkmargin.client.errors import Denied
from zkmargin.client.orders import (
    CHANGE_SECONDS,
    Change,
    CloseAccount,
    IssueToken,
    RegisterAccount,
    RemoveWebhook,
    RevokeToken,
    SetWebhook,
    WithdrawPart,
)
from zkmargin.crypto.keys import PublicKey
from zkmargin.engine.decimals import parse_time
from zkmargin.formats import InputError, VerificationError
from zkmargin.service import store, tables
from zkmargin.service.desk import Desk, proved_about_these
from zkmargin.service.intake import settle
from zkmargin.service.webhooks import check_url

Action = RegisterAccount | CloseAccount | WithdrawPart | IssueToken | RevokeToken | SetWebhook | RemoveWebhook
#: What an account may order about itself.
OWN = (IssueToken, RevokeToken, SetWebhook, RemoveWebhook)


class _Signer(NamedTuple):
    """Whose signature it is: an operator's (account None) or an account's."""

    name: str
    key: str
    account: str | None


def change(desk: Desk, given: Change) -> tuple[dict[str, Any], bool]:
    """Do what a change orders; whether it is news.

    Raises:
        Denied: signed by nobody who may order it.
        VerificationError: for another service, of another time, or a number that was used.
        InputError: what is ordered cannot be done.
    """
    now_ms, payload = desk.clock(), given.payload
    signer = _signer_of(desk, given)
    _check_for_us(desk, given, now_ms)
    action, table, digest = payload.action, tables.signers, given.payload_digest.hex()
    facts: dict[str, Any] = {"sequence": payload.sequence, "payload": digest}
    if isinstance(action, IssueToken):
        facts |= {"digest": action.digest, "role": action.role, "account": action.account}

    def write(connection: Connection) -> bool:
        if signer.account is not None and not _is_key_of(connection, signer.key, signer.account):
            raise Denied("signed by nobody who may order this")  # any more: its keys changed meanwhile
        last = connection.execute(select(table).where(table.c.key == signer.key)).first()
        if last is not None and last.payload == digest:
            return False
        if last is not None and last.sequence >= payload.sequence:
            raise VerificationError(
                f"number {last.sequence} was used by this signer: use a higher one", check="sequence"
            )
        connection.execute(delete(table).where(table.c.key == signer.key))
        values = {"key": signer.key, "sequence": payload.sequence, "payload": digest}
        connection.execute(insert(table).values(values))
        subject = _apply(connection, desk, action, signer, now_ms)
        store.audit(connection, now_ms, signer.name, action.kind, subject=subject, **facts)
        return True

    try:
        news = desk.ledger.database.write(write)
    except (VerificationError, InputError, Denied) as error:
        reason = error.message[:200]
        desk.ledger.database.write(
            lambda connection: store.audit(
                connection, now_ms, signer.name, action.kind, outcome="refused", reason=reason, **facts
            )
        )
        raise
    if news:
        desk.forget()
        desk.changed()
    return {"action": action.kind, "signer": signer.name, "sequence": payload.sequence}, news


def _signer_of(desk: Desk, given: Change) -> _Signer:
    """Raises Denied: nobody's signature who may order this."""
    if not given.signatures:
        raise Denied("not signed by anyone")
    (signature,) = given.signatures
    if len(signature.public_keys) != 1 or not signature.verifies(given.message):
        raise Denied("the signature does not verify")
    key = f"{signature.scheme}:{signature.public_keys[0]}"
    for operator in desk.operators:
        if _named(operator) == key:
            return _Signer(f"operator {operator.name}", key, None)
    action = given.payload.action
    account = _account_of(desk, action)
    if account is not None and isinstance(action, OWN):
        with desk.ledger.database.reading() as connection:
            may = _is_key_of(connection, key, account)
        if may:
            desk.change_rates.check(key)
            return _Signer(f"account {account}", key, account)
    raise Denied("signed by nobody who may order this")


def _is_key_of(connection: Connection, key: str, account: str) -> bool:
    """Whether an account that is not closed has a key now."""
    return any(
        key in {_named(PublicKey.model_validate(one)) for one in row.keys} and not row.closed
        for row in store.account_rows(connection, account)
    )


def _named(key: PublicKey) -> str:
    return f"{key.scheme}:{key.public_key}"


def _account_of(desk: Desk, action: Action) -> str | None:
    """Whose matter it is; None for everybody's."""
    if isinstance(action, RevokeToken):
        found = desk.tokens().get(action.digest)
        return None if found is None or found.role != "account" else found.account
    return action.account


def _check_for_us(desk: Desk, given: Change, now_ms: int) -> None:
    """Raises VerificationError: for another service, or of another time."""
    payload = given.payload
    if payload.service != desk.name:
        raise VerificationError(f"is for {payload.service[:80]!r}, not for {desk.name[:80]!r}", check="service")
    if abs(now_ms - parse_time(payload.time)) > 1000 * CHANGE_SECONDS:
        raise VerificationError(
            f"is of {payload.time}, more than {CHANGE_SECONDS} s from now", check="time", hint="check the clock"
        )


def _apply(connection: Connection, desk: Desk, action: Action, signer: _Signer, now_ms: int) -> str:
    """Do it; what it was about. Raises InputError, Denied."""
    if isinstance(action, RegisterAccount):
        return _register(connection, desk, action, now_ms)
    if isinstance(action, CloseAccount):
        _need_account(connection, action.account)
        store.put_account(connection, action.account, now_ms, closed=1)
        store.emit(connection, desk.name, now_ms, "account", account=action.account, reason="closed")
        return action.account
    if isinstance(action, WithdrawPart):
        return _withdraw(connection, desk, action, now_ms)
    if isinstance(action, IssueToken):
        return _issue_token(connection, desk, action, signer, now_ms)
    if isinstance(action, RevokeToken):
        table = tables.tokens
        done = connection.execute(update(table).where(table.c.digest == action.digest).values(revoked=1))
        if not done.rowcount:
            raise InputError("no such token", field="digest")
        return action.digest
    table = tables.webhooks
    scope = action.account or ""
    connection.execute(delete(table).where(table.c.url == action.url, table.c.scope == scope))
    if isinstance(action, SetWebhook):
        _set_webhook(connection, desk, action)
    return action.url


def _need_account(connection: Connection, account: str) -> None:
    if not store.account_rows(connection, account):
        raise InputError("no such account", field=f"account {account[:80]!r}")


def _register(connection: Connection, desk: Desk, action: RegisterAccount, now_ms: int) -> str:
    terms = json.dumps(action.terms.model_dump(mode="json"))
    keys = json.dumps([key.to_json() for key in action.keys])
    new = not store.account_rows(connection, action.account)
    store.put_account(connection, action.account, now_ms, terms=terms, keys=keys, closed=0)
    counting = store.recount(connection, action.account, action.terms)
    if counting is not None and not proved_about_these(connection, counting, action.account):
        store.mark_changed(connection, action.account, now_ms)
    reason = "registered" if new else "its terms or keys changed"
    store.emit(connection, desk.name, now_ms, "account", account=action.account, reason=reason)
    settle(connection, desk, action.account, now_ms)
    return action.account


def _withdraw(connection: Connection, desk: Desk, action: WithdrawPart, now_ms: int) -> str:
    table = tables.parts
    of = (table.c.account == action.account) & (table.c.role == action.role)
    of &= (table.c.issuer == action.issuer) & (table.c.part == action.part)
    if not connection.execute(delete(table).where(of)).rowcount:
        raise InputError("no such part", field="part")
    store.mark_changed(connection, action.account, now_ms)
    store.emit(connection, desk.name, now_ms, "part", account=action.account, reason="withdrawn")
    settle(connection, desk, action.account, now_ms)
    return action.account


def _issue_token(connection: Connection, desk: Desk, action: IssueToken, signer: _Signer, now_ms: int) -> str:
    if signer.account is not None and (action.role, action.account) != ("account", signer.account):
        raise Denied("an account issues tokens for itself only")
    if action.role == "account" and action.account is not None:
        _need_account(connection, action.account)
    table = tables.tokens
    if connection.execute(select(table.c.digest).where(table.c.digest == action.digest)).first() is not None:
        raise InputError("was issued before", field="digest", hint="make a new token")
    if action.role == "account":
        live = (table.c.account == action.account) & (table.c.role == "account") & (table.c.revoked == 0)
        live &= table.c.expires_ms.is_(None) | (table.c.expires_ms > now_ms)
        _check_room(connection, live, desk.settings.limits.tokens_per_account, "revoke one")
    expires_ms = None if action.expires is None else parse_time(action.expires)
    values = {"digest": action.digest, "name": action.name, "role": action.role, "account": action.account}
    connection.execute(insert(table).values(values | {"expires_ms": expires_ms, "revoked": 0}))
    return action.name


def _set_webhook(connection: Connection, desk: Desk, action: SetWebhook) -> None:
    check_url(action.url, desk.settings)
    scope, table = action.account or "", tables.webhooks
    if action.account is not None:
        _need_account(connection, action.account)
    _check_room(connection, table.c.scope == scope, desk.settings.limits.webhooks_per_account, "remove one")
    last = store.next_number(connection, tables.events) - 1  # from now on
    values = {"url": action.url, "scope": scope, "events": json.dumps(list(action.events))}
    connection.execute(insert(table).values(values | {"delivered": last, "attempts": 0, "next_ms": 0}))


def _check_room(connection: Connection, there: ColumnElement[bool], most: int, hint: str) -> None:
    """Raises InputError: there are as many rows as there may be."""
    if connection.execute(select(func.count()).where(there)).scalar_one() >= most:
        raise InputError(f"there are {most}, no more may be", field="account", hint=hint)
