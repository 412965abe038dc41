"""The faults, a module per group, each with its list ``FAULTS``."""
