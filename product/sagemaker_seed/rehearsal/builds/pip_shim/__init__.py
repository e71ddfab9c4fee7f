"""What stands for pip in a build's environment; copied there, never imported from here."""
