"""Where the time and memory of a pretraining run go, and what each optimisation gains, measured in one run."""
