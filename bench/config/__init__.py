"""What a user may set: the validated dataclasses that Hydra fills, every rule standing beside its field.

``schema`` holds the fields, ``rules`` what their values must satisfy, ``reader`` turns a composed config into them or
says what is wrong, and ``hydra_errors`` says in the same words what Hydra itself refused. Hydra sees an untyped config:
one place checks names, types and ranges together, and ``defaults``, a word Hydra keeps for itself, can be a group.
"""

from bench.config.reader import known_keys, nearest_key, read_config
from bench.config.schema import Config

__all__ = ["Config", "known_keys", "nearest_key", "read_config"]
