"""How floats become integers: chosen after training, or read off a network that was trained with them."""
