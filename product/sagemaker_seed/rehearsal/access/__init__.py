"""Who may do what in the embedded AWS: policies of callers, of resources and of roles, put together as IAM does."""
