"""Tests of the contracts on two EVMs: ``make contracts``."""
