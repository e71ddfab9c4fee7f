"""What the embedded AWS adds to moto, one module a service."""
