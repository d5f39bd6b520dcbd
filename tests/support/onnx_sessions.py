"""Sessions of ONNX Runtime as the agent makes them, and without its optimising."""

import onnxruntime as ort


def session(model, *, optimise=True, path=""):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = path
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def write_optimised(model, path):
    session(model, path=path)
