"""What acts on margins: many accounts at once, liquidation plans, calibrated policies, simulations.

Everything here reads the circuit's equations or the engine's integers; nothing states a rule of its own. Nothing below
depends on it.

margins      the margin of many accounts
"""
