"""The contracts, what compiles them and what tests them; nothing here is part of the package."""
