"""Models as ONNX graphs: recorded from torch, checked, and run by onnxruntime."""
