"""The market maker's agent: a warm process that answers every snapshot, fill and challenge with a proof.

One file a concern: ``config`` (what it is told), ``inbox`` and ``sources`` (what arrives), ``account`` (what it holds),
``agent`` (what it does when), ``proving`` (what it proves or refuses to), ``submission``, ``couriers``, ``venues`` and
``served`` (how proofs go out, and to whom), ``journal`` (what survives a crash),
``alarms``, ``status``, ``panels`` and ``page`` (who is told), ``checking`` (whether all is there).
docs/guides/watch.md walks through it, docs/decisions/0012-the-agent.md says why.
"""
