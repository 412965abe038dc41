"""From a grid to what will be run: cells, rounds, data, what cannot run here and why, how long it will take."""
