"""`metanas-agent learn` and `metanas-agent classify`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from metanas_agent.commands.state import add_state_option, state_of
from metanas_agent.errors import InvalidBundleError
from metanas_agent.learning import check_installed
from metanas_agent.printing import printable

if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add_learning_commands(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both."""
    learn = commands.add_parser(
        "learn",
        help="learn new classes from folders of images",
        description="Learns new classes from a folder of images a class, without a training "
        "framework, and writes a classifier: one ONNX file. Images are resized to the model's "
        "size. Needs numpy, onnxruntime and pillow on this machine.",
    )
    learn.add_argument(
        "--support",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with a folder of images for each class, which gives the class its name",
    )
    graph = learn.add_mutually_exclusive_group(required=True)
    graph.add_argument(
        "--model",
        type=Path,
        metavar="ADAPT.onnx",
        help="adaptation graph, with the model.onnx of the same export beside it",
    )
    graph.add_argument(
        "--bundle",
        metavar="NAME",
        help="take both from an installed bundle, by the name it has in `metanas-agent bundles`",
    )
    learn.add_argument(
        "-o", "--output", type=Path, required=True, metavar="CLASSIFIER", help="file to write"
    )
    learn.set_defaults(run=_learn)

    classify = commands.add_parser(
        "classify",
        help="say what is on images",
        description="Says which of its classes a classifier sees on each image. Needs numpy, "
        "onnxruntime and pillow on this machine.",
    )
    classify.add_argument("image", type=Path, nargs="+", metavar="IMAGE")
    classifier = classify.add_mutually_exclusive_group(required=True)
    classifier.add_argument("--classifier", type=Path, metavar="FILE", help="of `learn`")
    classifier.add_argument(
        "--bundle", metavar="NAME", help="take the model of an installed bundle, with its classes"
    )
    classify.set_defaults(run=_classify)

    for command in (learn, classify):
        command.add_argument("--json", action="store_true", help="print JSON")
        add_state_option(command)


def _learn(options: argparse.Namespace) -> None:
    check_installed()
    from metanas_agent.learning.learn import learn

    graph = options.model or _in_bundle(options, "adapt.onnx")
    learned = learn(options.support, graph, options.output)
    if options.json:
        values = {
            "classifier": str(learned.classifier),
            "labels": learned.labels,
            "images": learned.images,
            "right": learned.right,
            "duration_ms": learned.duration_ms,
        }
        print(json.dumps(values, indent=2))
        return
    print(
        printable(
            f"{learned.classifier}: {len(learned.labels)} classes ({', '.join(learned.labels)}) "
            f"learned from {learned.images} images in {learned.duration_ms:.0f} ms; "
            f"{learned.right} of these are put into their class"
        )
    )


def _classify(options: argparse.Namespace) -> None:
    check_installed()
    from metanas_agent.learning.classifier import Classifier

    path = options.classifier or _in_bundle(options, "model.onnx")
    classifier = Classifier(path, name=str(path))
    answers = [(str(image), classifier.classify(image)) for image in options.image]
    if options.json:
        values = [
            {"image": image, "label": next(iter(probabilities)), "probabilities": probabilities}
            for image, probabilities in answers
        ]
        print(json.dumps(values, indent=2))
        return
    for image, probabilities in answers:
        label, probability = next(iter(probabilities.items()))
        print(printable(f"{image}: {label} ({probability:.1%})"))


def _in_bundle(options: argparse.Namespace, file: str) -> Path:
    from metanas_agent.bundles import current

    path = current(state_of(options), options.bundle) / file
    if not path.exists():
        raise InvalidBundleError(
            f"the bundle {options.bundle} has no {file}, which {options.command} needs",
            hint="on the host: metanas export RUN, then metanas bundle RUN -o FILE.metanas; "
            "then here: metanas-agent install FILE.metanas",
        )
    return path
