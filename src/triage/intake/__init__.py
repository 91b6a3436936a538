"""Read logs: names to blocks, blocks to rows, rows to events."""
