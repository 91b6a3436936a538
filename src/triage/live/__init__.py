"""`triage watch` from its start to its report: reads, diagnoses at intervals, shows, tells, takes keys and signals."""
