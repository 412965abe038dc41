"""Real faults in real processes: what a worker may do, and the row that each must leave."""
