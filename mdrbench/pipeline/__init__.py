"""From recipes to result files: plans, stages, executors, the runner and progress."""
