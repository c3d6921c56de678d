"""Networks and times from elsewhere: ONNX, other tools' workloads, this machine, generators."""
