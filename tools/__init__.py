"""Tools for those who work on skfhe."""
