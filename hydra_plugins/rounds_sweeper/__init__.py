"""The Hydra sweeper of this project: every round one shuffled pass over all cells."""
