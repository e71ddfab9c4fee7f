"""CloudFormation's stacks: templates evaluated, and their resources made through the services' own APIs."""
