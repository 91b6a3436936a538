"""Made-up logs of any size, and `triage analyze` measured on them against DuckDB answering the same questions."""
