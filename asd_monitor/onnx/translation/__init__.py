"""Translate operators of torch to nodes of a graph."""

from asd_monitor.onnx.translation.call import Call, Translator
from asd_monitor.onnx.translation.elementwise import ELEMENTWISE
from asd_monitor.onnx.translation.fourier import FOURIER
from asd_monitor.onnx.translation.layers import LAYERS
from asd_monitor.onnx.translation.reductions import REDUCTIONS
from asd_monitor.onnx.translation.selection import SELECTION
from asd_monitor.onnx.translation.shapes import SHAPES

TRANSLATORS: dict[str, Translator] = {
    **ELEMENTWISE,
    **FOURIER,
    **LAYERS,
    **REDUCTIONS,
    **SELECTION,
    **SHAPES,
}

__all__ = ["TRANSLATORS", "Call"]
