"""Choose a recipe from normal recordings alone: cross-validation with injected faults."""
