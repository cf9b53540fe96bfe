"""ONNX files from elsewhere: the card beside the file, and a graph that reads nothing else.

The format (https://onnx.ai/onnx/repo-docs/IR.html) is a protobuf, and a file of it may come from
anybody. Its weights may lie in further files, whose paths it names: they are read here, from the
model's own folder alone, and ONNX Runtime is handed bytes that lead to no file. Neither torch nor
ONNX Runtime is loaded here, and onnx only where the file itself is looked into.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from agriseg.errors import ModelError, said_by, shown
from agriseg.models.card import ModelCard
from agriseg.models.engines import EngineError

if TYPE_CHECKING:
    import onnx

__all__ = [
    "CARD_KEY",
    "OUTPUTS",
    "GraphFacts",
    "OnnxFile",
    "card_to_onnx",
    "need_onnx",
    "read_graph_facts",
    "read_onnx",
    "read_onnx_card",
    "with_free_sides",
]

OUTPUTS = ("logits", "probabilities")
"""What a card may say that its graph gives, under the key "outputs"."""

CARD_KEY = "agriseg"
"""The key of a graph's metadata under which its card stands."""

_LONGEST_CARD = 1_000_000
# A protobuf cannot be larger than 2 GiB, and it is handed on as one.
_LARGEST = 2_000_000_000
# What hands its input on, so that the operation before it tells what the numbers are.
_PASSING_ON = ("Identity", "Cast")
_EXAMPLE = (
    '{"name": "weeds", "bands": [{"role": "red", "mean": 0.12, "std": 0.06}], "legend": '
    '[{"value": 0, "name": "soil", "color": "#c8a882"}, {"value": 1, "name": "weed", "color": '
    '"#d81b9a"}], "chip_size": 512}'
)


@dataclass(frozen=True)
class OnnxFile:
    """A graph and all of its weights.

    Args:
        data: The model as one protobuf, without a path in it.
        digest: SHA-256 of everything that was read.
        parameters: Numbers in its initializers.
        last: The operation that makes its first output, such as "Softmax"; "" where that is hidden.
    """

    data: bytes
    digest: str
    parameters: int
    last: str


@dataclass(frozen=True)
class GraphFacts:
    """What a card may say of its graph, beside what every card says.

    Args:
        outputs: One of `OUTPUTS`, or None where it does not say.
        any_size: The height and width that the graph states are for programs that need to know one;
            it takes any multiple of the card's stride.
    """

    outputs: str | None = None
    any_size: bool = False


def read_onnx_card(file: Path) -> ModelCard:
    """The card of an ONNX file: that in the `.json` of its name beside it, else that inside.

    Raises:
        ModelError: There is no card, or it is damaged.
        EngineError: The card can only be inside, and onnx is not installed.
    """
    return _described(file)[0]


def read_graph_facts(file: Path) -> GraphFacts:
    """What the card of an ONNX file says of its graph.

    Raises:
        ModelError: As `read_onnx_card`.
    """
    return _described(file)[1]


def read_onnx(file: Path) -> OnnxFile:
    """Read a graph and its weights.

    Raises:
        ModelError: The file is damaged, too large, or names weights outside its own folder.
        EngineError: onnx is not installed.
    """
    data = _bytes(file)
    model = _parsed(file, data)
    digest, room = hashlib.sha256(data), _LARGEST - len(data)
    try:
        outside = [t for t in _tensors(model) if t.data_location == t.EXTERNAL]
        for tensor in outside:
            tensor.raw_data = _outside(file, tensor, room)
            room -= len(tensor.raw_data)
            digest.update(tensor.raw_data)
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]
        return OnnxFile(
            data=model.SerializeToString() if outside else data,
            digest=digest.hexdigest(),
            parameters=sum(math.prod(tensor.dims) for tensor in model.graph.initializer),
            last=_last(model.graph),
        )
    except UnicodeDecodeError as error:  # protobuf looks at texts only when they are asked for
        raise _damaged(file, str(error)) from error


def with_free_sides(file: OnnxFile) -> OnnxFile:
    """The same graph without the height and width that it states for its input and output."""
    import onnx

    model = onnx.ModelProto.FromString(file.data)
    for value in (*model.graph.input, *model.graph.output):
        sides = value.type.tensor_type.shape.dim[2:]
        for side, name in zip(sides, ("height", "width"), strict=False):
            side.dim_param = name
    return replace(file, data=model.SerializeToString())


def need_onnx(error: ImportError) -> EngineError:
    """What to tell where onnx or ONNX Runtime is missing."""
    said = said_by(error)
    return EngineError(
        f"ONNX files need onnx and onnxruntime, which cannot be loaded ({said}); "
        "pip install 'agriseg[onnx]'"
    )


# The card ----------------------------------------------------------------------------------------


def card_to_onnx(card: ModelCard, facts: GraphFacts) -> str:
    """A card as it stands in an ONNX file: `read_onnx_card` and `read_graph_facts` give it back."""
    return json.dumps({**json.loads(card.to_json()), **asdict(facts)}, allow_nan=False)


def _described(file: Path) -> tuple[ModelCard, GraphFacts]:
    """The card, and what it says of the graph."""
    text, where = _card_text(file)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None  # which from_json tells better
    facts = GraphFacts()
    if isinstance(data, dict):
        facts = GraphFacts(data.pop("outputs", None), data.pop("any_size", False))
        # What the network is made of is the graph's affair.
        text = json.dumps({"architecture": "onnx", **data})
    if facts.outputs not in (None, *OUTPUTS):
        raise ModelError(
            f"{where}: outputs is {facts.outputs!r}; expected is {' or '.join(OUTPUTS)}, as the "
            "graph gives them, or no such key"
        )
    if not isinstance(facts.any_size, bool):
        raise ModelError(
            f"{where}: any_size is {shown(facts.any_size)}; expected is true, where the graph "
            "takes chips of other sizes than it states, or no such key"
        )
    try:
        return ModelCard.from_json(text), facts
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error


def _card_text(file: Path) -> tuple[str, str]:
    """The card's JSON, and where it stands."""
    beside = file.with_suffix(".json")
    try:
        if beside.is_file():
            if beside.stat().st_size > _LONGEST_CARD:
                raise ModelError(
                    f"{beside}: has {beside.stat().st_size} bytes; expected is the model card of "
                    f"{file.name}, at most {_LONGEST_CARD}: give that file another name"
                )
            return beside.read_text(encoding="utf-8-sig"), str(beside)
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{beside}: cannot be read ({error}); expected is the model card of {file.name}, JSON "
            "in UTF-8"
        ) from error
    try:
        properties = _parsed(file, _bytes(file)).metadata_props
        inside = {item.key: item.value for item in properties}
    except UnicodeDecodeError as error:
        raise _damaged(file, str(error)) from error
    if CARD_KEY not in inside:
        raise ModelError(
            f"{file}: has no model card, so its bands and classes are unknown; write one as "
            f"{beside.name} beside it, with name, bands, legend and chip_size at least, such as "
            f"{_EXAMPLE}"
        )
    return inside[CARD_KEY], str(file)


# The file ----------------------------------------------------------------------------------------


def _bytes(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > _LARGEST:
            raise ModelError(
                f"{file}: has {size / 1e9:.1f} GB; expected are at most {_LARGEST / 1e9:.0f}, a "
                "larger network does not fit into one ONNX file"
            )
        return file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}); check the file") from error


def _parsed(file: Path, data: bytes) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise need_onnx(error) from error
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    # protobuf's own class of errors, which is not ours to import.
    except Exception as error:
        raise _damaged(file, str(error)) from error
    # Many a short text is a valid protobuf by chance.
    if not model.graph.output:
        raise _damaged(file, "it holds no graph with an output")
    return model


def _damaged(file: Path, what: str) -> ModelError:
    said = said_by(what)
    return ModelError(
        f"{file}: is no ONNX file, or a damaged one ({said}); copy, download or export it again"
    )


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a message: of subgraphs, functions and sparse ones too."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in [value] if hasattr(value, "ListFields") else value:
            if field.message_type.name == "TensorProto":
                yield item
            else:
                yield from _tensors(item)


def _outside(file: Path, tensor: onnx.TensorProto, room: int) -> bytes:
    """The bytes of a tensor that lies in another file of the same folder."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    name = told.get("location", "")
    folder = file.parent.resolve()
    # Both systems' paths, whichever this is: the refusal should not depend on it.
    roots = PurePosixPath(name).root, PureWindowsPath(name).anchor
    try:
        # A link counts as what it points to.
        path = (folder / name).resolve()
        is_inside = path.is_relative_to(folder) and ".." not in PureWindowsPath(name).parts
        if not name or any(roots) or not is_inside:
            raise ModelError(
                f"{file}: names weights in {name!r}; expected is a file in its own folder: export "
                "it again, with all weights beside it or inside"
            )
        offset, length = int(told.get("offset", 0)), int(told.get("length", -1))
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            length = size - offset if "length" not in told else length
            if offset < 0 or length < 0 or offset + length > size or length > room:
                raise _damaged(
                    file, f"{length} bytes of weights from {offset} on, and {name} has {size}"
                )
            stream.seek(offset)
            found: bytes = stream.read(length)
            return found
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file}: its weights in {name!r} cannot be read ({error}); copy that file beside it"
        ) from error


def _last(graph: onnx.GraphProto) -> str:
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(graph.output[0].name)
    for _ in graph.node:  # at most so many steps: a hostile graph may go round in circles
        if node is None or node.op_type not in _PASSING_ON or not node.input:
            break
        node = makers.get(node.input[0])
    return "" if node is None else node.op_type
