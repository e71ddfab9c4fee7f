"""What the tests of the training scripts share: jobs as child processes, data sets as CSV, the serving container."""
