"""What the tests of builds share."""
