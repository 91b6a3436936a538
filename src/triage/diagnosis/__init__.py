"""Find out what happened: failures, chains, roots, severity."""
