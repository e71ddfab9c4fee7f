"""Prepares AWS accounts for SageMaker projects: the account templates, in order, and the switch for projects."""
