"""Markets, instruments, pricing, scenarios, policies, risk arrays, margin: finance without cryptography."""
