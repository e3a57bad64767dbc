"""Neural networks, trained here or imported."""
