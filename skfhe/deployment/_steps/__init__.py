"""Transformers of a client, in NumPy: what comes before the estimator of a pipeline."""
