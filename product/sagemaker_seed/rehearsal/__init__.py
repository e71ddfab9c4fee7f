"""The embedded AWS, and the road through it that a seed repository takes."""
