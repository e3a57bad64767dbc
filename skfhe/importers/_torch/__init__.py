"""torch and Brevitas networks, read as float networks."""
