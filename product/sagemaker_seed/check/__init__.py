"""Finds what will go wrong before anybody publishes or launches: reads, compares and reports. Changes nothing."""
