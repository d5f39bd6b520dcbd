"""Export to ONNX, and verification on the device."""
