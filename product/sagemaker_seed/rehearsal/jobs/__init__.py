"""Executes SageMaker pipelines: definitions, their order, and jobs as child processes. Answers no request itself."""
