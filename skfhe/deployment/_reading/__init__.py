"""What a client computes, read from fitted estimators: the only part of the room that knows scikit-learn."""
