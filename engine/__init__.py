"""Markets, instruments, pricing, scenarios, policies, risk arrays, margin: finance without cryptography.

decimals, exact      numbers: decimal text to integers, integer arithmetic that never wraps
market               prices, vols, instruments, assets; importers bring foreign files in
pricing              Black-76 on integers
policy, components   what a margin is made of: parameters, and the integers that they publish
valuation, snapshot  market + policy -> the integers that a margin is computed and proved from
book, margin         a book in lots, and its margin
"""
