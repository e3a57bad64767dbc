"""The estimators of other libraries: how ours inherit, hold and convert them."""
