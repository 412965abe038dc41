"""From a grid to what will be run: cells and rounds, data and targets, what cannot run here and why, how long it takes."""
