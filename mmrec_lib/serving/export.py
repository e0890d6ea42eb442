"""Text encoders without PyTorch: their network as an ONNX graph, if wanted with weights of eight bits."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np

from .. import encoders
from ..encoders import Encoder, keeping
from ..encoders.text.transformer import JointText, TransformerText, pool
from ..errors import MissingPackageError, ModelFileError, ParameterError

#: Texts of different lengths, on which a graph must give what the network gives.
_PROBES = ("a robin", "a letter with a long sentence on it, which is cut nowhere", "no")
_OPSET = 17


class ONNXText(Encoder):
    """A text encoder whose network runs in ONNX Runtime; made by :func:`export_text_encoder`.

    Texts become tokens as in the encoder that it was made from. It is saved with its graph, so that a bundle with it
    needs neither the exported file nor the original weights.

    Parameters
    ----------
    encoder : str
        Name of the encoder that it was made from; its tokenizer is used.
    options : dict, optional
        Settings of that encoder.
    quantised : bool, default True
        Are the weights of eight bits? Says what the graph is, and changes nothing.
    """

    name = "onnx-text"
    modality = "text"
    batch_sizes = TransformerText.batch_sizes

    def __init__(self, encoder: str, options: dict | None = None, quantised: bool = True) -> None:
        self.encoder, self.options, self.quantised = encoder, dict(options or {}), bool(quantised)
        self._words = encoders.create(encoder, modality="text", **self.options)
        self._session = None

    def __deepcopy__(self, memo):
        copy = type(self)(**self.get_params())
        copy.graph_ = self.graph_
        return copy

    @property
    def dim(self) -> int:
        """Length of a vector: that of the original."""
        return self._words.dim

    def _weights_id(self) -> str:
        return hashlib.sha256(self.graph_.tobytes()).hexdigest()

    def plan(self, items, batch_size):
        """Batches of texts of nearly the same number of tokens, as the original makes them."""
        return self._words.plan(items, batch_size)

    def _open(self, item):
        return self._words._open(item)

    def _encode(self, batch, device):
        if self._session is None:
            self._session = _session(self.graph_.tobytes())
        ids, mask = self._words.padded(batch)
        return self._session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})[0]


def export_text_encoder(encoder: TransformerText, path, quantise: bool = True) -> ONNXText:
    """Write the network of a text encoder to ``path`` (an ``.onnx`` file) and return an encoder that runs it.

    Parameters
    ----------
    encoder : TransformerText
        ``"minilm"``, or any BERT-like model of the hub.
    path
        Of the file; other programs can run it: ``ids`` and ``mask`` (int64 ``(n, tokens)``) to ``vectors``.
    quantise : bool, default True
        Round each matrix of weights to whole numbers of eight bits (of which seven are used), a scale a column, and
        activations as they come (dynamic quantisation; Jacob et al., 2018, for the arithmetic). A quarter of the size,
        and on most CPUs faster. The vectors change a little: do not mix them with those of the original.

    Raises
    ------
    ParameterError
        The encoder is none that can be exported.
    ModelFileError
        The graph does not give the network's vectors; nothing is written.
    MissingPackageError
        onnx or onnxruntime is not installed.
    """
    if not isinstance(encoder, TransformerText) or isinstance(encoder, JointText):
        raise ParameterError(f"encoder={encoder!r}: only TransformerText and what derives from it can be exported")
    name, options = encoder.name, encoder.get_params()
    exact = ONNXText(name, options, quantised=False)
    with tempfile.TemporaryDirectory(prefix="mmrec-") as folder:
        file = Path(folder) / "exact.onnx"
        _trace(encoder, file)
        exact.graph_ = np.frombuffer(file.read_bytes(), np.uint8)
        wanted, got = (e.encode(list(_PROBES), device="cpu") for e in (encoder, exact))
        if np.abs(wanted - got).max() > 0.02 * np.abs(wanted).max():
            raise ModelFileError(f"the graph of {encoder.name!r} gives other vectors than the network: use the network")
        if quantise:
            _quantise(file, file.with_name("small.onnx"))
            file = file.with_name("small.onnx")
        made = ONNXText(name, options, quantise)
        made.graph_ = np.frombuffer(file.read_bytes(), np.uint8)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(made.graph_.tobytes())
    return made


def load_encoder(folder) -> Encoder:
    """Read an encoder that :meth:`Encoder.save` wrote, also one that was exported."""
    header, arrays = keeping.read(folder)
    if header["encoder"] != ONNXText.name:
        return encoders.load(folder)
    return keeping.restore(ONNXText(**header["params"]), header, arrays)


def _trace(encoder: TransformerText, file: Path) -> None:
    """Write the graph, traced on texts of two lengths: what depends on mask and length must stay in it."""
    import inspect

    import torch

    network = encoder._load().eval().float()
    network.set_attn_implementation("eager")
    takes = inspect.signature(network.forward).parameters

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids, mask):
            hidden = (1.0 - mask[:, None, None, :].float()).expand(-1, 1, ids.shape[1], -1) * -1e4
            given = {"token_type_ids": torch.zeros_like(ids), "position_ids": torch.arange(ids.shape[1])[None]}
            states = self.network(
                input_ids=ids, attention_mask=hidden, **{name: given[name] for name in given if name in takes}
            ).last_hidden_state
            vectors = pool(states, mask, encoder.pooling)
            return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12) if encoder.normalise else vectors

    sizes = {"ids": {0: "n", 1: "tokens"}, "mask": {0: "n", 1: "tokens"}, "vectors": {0: "n"}}
    _need("onnx")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that we know
        torch.onnx.export(
            Vectors(), encoder.padded(list(_PROBES[:2])), str(file), input_names=["ids", "mask"],
            output_names=["vectors"], dynamic_axes=sizes, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip


def _quantise(file: Path, small: Path) -> None:
    quantization = _need("onnxruntime.quantization")
    with _quiet():  # reduced: without it sums of products overflow on processors that have no VNNI instructions
        quantization.quantize_dynamic(
            file, small, weight_type=quantization.QuantType.QInt8, per_channel=True, reduce_range=True
        )


def _session(graph: bytes):
    import torch

    runtime = _need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _quiet():
    """Without the advice that the quantiser gives to the root logger."""
    root, silence = logging.getLogger(), lambda record: False
    root.addFilter(silence)
    try:
        yield
    finally:
        root.removeFilter(silence)


def _need(name: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackageError(name.split(".")[0], "an exported encoder", "serve") from None
