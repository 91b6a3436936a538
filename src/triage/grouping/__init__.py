"""Say what is the same: templates, signatures, folding."""
