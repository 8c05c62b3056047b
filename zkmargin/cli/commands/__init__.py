"""One module for each command; each has the click command as ``command``."""
