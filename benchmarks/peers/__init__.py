"""General provers on the statement that zkmargin proves: what ``make bench-peers`` measures."""
