"""CloudFormation templates and resource schemas, read and evaluated without AWS. Makes no resource and no call."""
