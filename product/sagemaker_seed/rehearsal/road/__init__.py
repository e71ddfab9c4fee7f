"""The road of a rehearsal, from a template to a tested production endpoint, in steps. See ``walk.py``."""
