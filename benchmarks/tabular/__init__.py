"""Linear and tree models."""
