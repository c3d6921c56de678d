"""ONNX files, read as networks."""
