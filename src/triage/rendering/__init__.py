"""Turn a Report into text, a page or JSON."""
