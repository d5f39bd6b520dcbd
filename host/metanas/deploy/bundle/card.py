"""BundleCard: what a stranger must know of a model, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from metanas.deploy.verification import Verification

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleCard:
    """What a model is, for which device, what was promised and measured, data and licence.

    Args:
        name: of the bundle.
        architecture: of the network, as its space prints it.
        labels: of its classes, in the order of the logits.
        input_shape: channels, height, width.
        feeding: how a picture becomes its input, in words.
        dataset: that it was trained on.
        data_licence: terms of that data.
        licence: terms of the model.
        limits: that it was searched under, such as `latency_ms[pi0] <= 20`.
        accuracy: over test episodes, as a board classifies: `accuracy`, `interval`, `episodes`.
        verification: of this network on its device, None if it was never run on one.
        provenance: of the model's file.
    """

    name: str
    architecture: str
    labels: tuple[str, ...]
    input_shape: tuple[int, ...]
    feeding: str
    dataset: str
    data_licence: str
    licence: str = NOT_STATED
    limits: tuple[str, ...] = ()
    accuracy: dict[str, Any] | None = None
    verification: Verification | None = None
    provenance: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for the manifest."""
        values = asdict(self)
        values["verification"] = self.verification.to_dict() if self.verification else None
        return values

    def to_markdown(self, files: dict[str, str]) -> str:
        """The file `card.md`.

        Args:
            files: name of each file in the bundle to what it is.
        """
        shape = " x ".join(map(str, self.input_shape))
        made = self.provenance or {}
        return "\n\n".join(
            (
                f"# {self.name}",
                f"A network that tells {len(self.labels)} classes apart: {', '.join(self.labels)}.",
                _table(
                    {
                        "architecture": f"`{self.architecture}`",
                        "input": f"{shape} (channels, height, width)",
                        "trained on": f"{self.dataset} ({self.data_licence})",
                        "licence of the model": self.licence,
                        "made by": f"metanas {made.get('version', '')}, {made.get('made', '')}",
                    }
                ),
                f"How to feed it. {self.feeding}.",
                f"## Promised and measured\n\n{self._figures()}",
                f"## Files\n\n{_table({f'`{name}`': text for name, text in files.items()})}",
                "`metanas-agent install` puts the bundle on a board; `python example.py IMAGE` "
                "needs onnxruntime, numpy and pillow only.\n",
            )
        )

    def _figures(self) -> str:
        rows = {"limits of the search": ", ".join(self.limits) or "none"}
        if self.accuracy:
            rows["accuracy of the architecture over test tasks"] = _accuracy(self.accuracy)
        if self.verification is None:
            rows["device"] = "it was not verified on a device"
            return _table(rows)
        result = self.verification
        rows["device"] = f"{result.device} ({result.measured.runtime})"
        if result.predicted:
            rows["latency promised"] = f"{result.predicted.latency_ms:.4g} ms"
        rows["latency measured"] = (
            f"{result.measured.median_ms:.4g} ms, 80% between {result.measured.p10_ms:.4g} and "
            f"{result.measured.p90_ms:.4g} ms ({result.latency_verdict})"
        )
        if result.device_accuracy:
            rows["accuracy on the device"] = _accuracy(asdict(result.device_accuracy))
        rows["top-1 as on the host"] = f"{result.agreement.top1:.2%}"
        rows["verdict"] = "; ".join(("pass",) if result.passed else ("fail", *result.reasons))
        return _table(rows)


def _accuracy(values: dict[str, Any]) -> str:
    interval = values.get("interval")
    width = f" +- {interval:.1%}" if interval is not None else ""
    return f"{values['accuracy']:.1%}{width} ({values['episodes']} tasks)"


def _table(rows: dict[str, str]) -> str:
    lines = (
        f"| {name} | {' '.join(text.split()).replace('|', chr(92) + '|')} |"
        for name, text in rows.items()
    )
    return "\n".join(("| | |", "|---|---|", *lines))
