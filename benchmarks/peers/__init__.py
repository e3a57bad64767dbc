"""Models beside those of other libraries, whose part runs in an environment of its own."""
