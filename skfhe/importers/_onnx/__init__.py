"""ONNX networks, read as float networks."""
