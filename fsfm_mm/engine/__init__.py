"""What drives training: launch, loops, resume, hooks, optimiser."""
