"""Classify pictures with model.onnx: python example.py IMAGE..."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"))
card = session.get_modelmeta().custom_metadata_map
channels, height, width = json.loads(card["input_shape"])
mean, std = (np.float32(json.loads(card[key])) for key in ("mean", "std"))
for path in sys.argv[1:]:
    picture = Image.open(path).convert("L" if channels == 1 else "RGB")
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, np.float32).reshape(height, width, channels) / 255
    pixels = 1 - pixels if card.get("inverted") == "true" else pixels
    image = ((pixels - mean) / std).transpose(2, 0, 1)[None]
    logits = session.run(None, {"images": image.astype(np.float32)})[0][0]
    print(path, json.loads(card["labels"])[logits.argmax()])
