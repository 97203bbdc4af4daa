"""What drives training: configs and settings, launch, loops, resume, hooks, optimiser."""
