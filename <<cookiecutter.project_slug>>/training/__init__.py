"""The training half: the scripts of the steps, and the pipeline that strings them together."""
