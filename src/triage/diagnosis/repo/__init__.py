"""The user's source: files and history of a folder, read and never executed."""
