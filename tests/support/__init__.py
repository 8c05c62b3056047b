"""What several test files share. pytest finds it through ``pythonpath``; a script in tests/ finds it beside itself."""
