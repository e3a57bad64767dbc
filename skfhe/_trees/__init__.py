"""Decision trees as programs: splits, covers by lookups, leaf values, and what their estimators share."""
