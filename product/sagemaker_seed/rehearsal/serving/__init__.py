"""Endpoints that serve: models as child processes, traffic between fleets, rollouts, capture. Answers no request."""
