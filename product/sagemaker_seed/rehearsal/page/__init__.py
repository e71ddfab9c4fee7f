"""The page about a rehearsal: one HTML file that needs no network. See ``write.py``."""
