"""What CodePipeline does: a declaration is checked, its executions move from stage to stage, and their actions act."""
