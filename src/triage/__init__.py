"""Turn platform logs into an incident report."""
