"""What acts on margins: many accounts at once, liquidation plans, calibrated policies, simulations.

Everything here reads the circuit's equations or the engine's integers; nothing states a rule of its own. Nothing below
depends on it.

margins                                the margin of many accounts
programme, costs, liquidation          a circuit's equations as a programme over trades, and plans
auction, path                          pro rata and Dutch auctions; liquidation prices
history, calibration, backtest         closes, rules, policies that follow from them, and how they would have done
repricing, simulation, draws           snapshots along moving prices; cascades of many accounts
stress                                 a book elsewhere: other prices, vols, days
report                                 pages of tables and charts
"""
