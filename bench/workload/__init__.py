"""Data, network, optimizer arithmetic and epoch orders in NumPy: identical for every framework.

``seeds`` names every random stream; ``data`` makes or reads the split; ``network`` is the forward and backward pass;
``optimizer`` the updates; ``schedule`` the epoch orders, batches and learning rate; ``target`` the loss a cell is asked
to reach; ``footprint`` the bytes it must take.

Data and split depend on the seed alone, so that a sweep has one target; initial weights and epoch orders depend on the
seed, the round and the epoch.
"""
