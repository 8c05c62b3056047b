"""A venue's service over HTTP: what ``docs/decisions/0011-the-venue-service.md`` fixes."""
