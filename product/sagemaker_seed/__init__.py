"""Renders, bundles, publishes and rehearses seed repositories. Nothing in a seed repository imports it."""
