"""What could replace a module, or a function in a forward pass, that is not covered."""

from __future__ import annotations

from torch import Tensor, fx, nn

_NORM = "nn.BatchNorm1d or nn.BatchNorm2d, which costs nothing on the chip"
_WIDER = "nn.Linear to the wanted size and a view"
_MEMORY = "nn.GRU, or nn.Conv1d with dilation"
_CELL = "the layer over the whole sequence, such as nn.GRU"
_POOL = "nn.AvgPool or nn.MaxPool"
_GATE = "nn.Sigmoid as a gate (a, b = x.chunk(2, 1), then a * torch.sigmoid(b)), or a softmax as the last step"
_CLAMP = "F.relu, torch.clamp, or a product with torch.sigmoid as a gate"
_PRODUCT = "nn.Linear or nn.Conv1d with weights, or a * b element by element and a sum over dim"
_SPREAD = "nn.BatchNorm, or x.square().mean(dim)"
_MODULES: dict[type[nn.Module], str] = {
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d), _NORM),
    nn.LocalResponseNorm: _NORM,
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Upsample, nn.UpsamplingNearest2d), _WIDER),
    **dict.fromkeys((nn.PixelShuffle, nn.PixelUnshuffle), "nn.Conv2d with a stride, or nn.ChannelShuffle"),
    **dict.fromkeys((nn.Unfold, nn.Fold), "nn.Conv2d with a stride"),
    **dict.fromkeys((nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder), _MEMORY),
    **dict.fromkeys((nn.LSTMCell, nn.GRUCell, nn.RNNCell), _CELL),
    nn.Conv3d: "nn.Conv2d with the frames as channels",
    nn.BatchNorm3d: "nn.BatchNorm2d",
    **dict.fromkeys((nn.LPPool1d, nn.LPPool2d, nn.FractionalMaxPool2d), _POOL),
    **dict.fromkeys(
        (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d, nn.ReplicationPad2d), "zero padding"
    ),
    **dict.fromkeys((nn.Threshold, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink), "nn.ReLU or nn.LeakyReLU"),
    **dict.fromkeys((nn.Softmin, nn.Softmax2d, nn.GLU), _GATE),
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), "numbers as input, one-hot ones for classes"),
    nn.Bilinear: "nn.Linear of both inputs joined by torch.cat",
}
_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"), _NORM),
    **dict.fromkeys(("interpolate", "upsample", "conv_transpose1d", "conv_transpose2d"), _WIDER),
    "scaled_dot_product_attention": _MEMORY,
    **dict.fromkeys(("einsum", "matmul", "bmm", "mm", "baddbmm"), _PRODUCT),
    **dict.fromkeys(("glu", "softmin"), _GATE),
    **dict.fromkeys(("gt", "lt", "ge", "le", "eq", "ne", "where", "sign", "masked_fill", "heaviside"), _CLAMP),
    **dict.fromkeys(("maximum", "minimum", "max", "min", "topk", "sort"), "x.amax(dim), nn.MaxPool, or torch.clamp"),
    **dict.fromkeys(("std", "var", "norm"), _SPREAD),
    **dict.fromkeys(("stack", "vstack"), "torch.stack or torch.cat along dim=1"),
    **dict.fromkeys(("T", "mT"), "x.transpose(1, 2), which keeps the batch first"),
    **dict.fromkeys(("cumsum", "diff"), "nn.Conv1d, or slices such as x[..., 1:] - x[..., :-1]"),
    **dict.fromkeys(("zeros", "ones", "zeros_like", "ones_like", "full", "rand_like", "randn_like"), "a number"),
    "max_pool2d_with_indices": "F.max_pool2d with return_indices=False",
    "linear": "nn.Linear",
    "conv1d": "nn.Conv1d",
    "conv2d": "nn.Conv2d",
    "batch_norm": "nn.BatchNorm1d or nn.BatchNorm2d",
    "prelu": "nn.PReLU",
    "embedding": "numbers as input, one-hot ones for classes",
    "cosine_similarity": "nn.Linear",
    **dict.fromkeys(("long", "int", "bool", "argmax", "one_hot"), "real numbers up to the last step"),
    "unfold": "nn.Conv2d with a stride",
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), "nn.Conv2d with a stride, or nn.ChannelShuffle"),
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss"), "(y - x).square().mean(dim=1, keepdim=True)"),
}


def instead_of(module: nn.Module) -> str:
    """Return what could replace a module; '' where nothing is like it."""
    if hasattr(module, "parametrizations"):
        return "torch.nn.utils.parametrize.remove_parametrizations first, which leaves a plain layer"
    if computes_weight(module):
        return "torch.nn.utils.remove_weight_norm, or prune.remove, first, which leaves a plain layer"
    return _MODULES.get(type(module), "")


def computes_weight(module: nn.Module) -> bool:
    """Whether a layer makes its weight of other parameters, as weight norm and pruning let it."""
    return isinstance(getattr(module, "weight", None), Tensor) and "weight" not in dict(module.named_parameters())


def title(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, or of the attribute that it reads."""
    if node.target is getattr:
        return str(node.args[1])
    return str(getattr(node.target, "__name__", node.target))


def instead_of_call(node: fx.Node) -> str:
    """Return what could replace a function or method; '' where nothing is like it."""
    return _FUNCTIONS.get(title(node).rstrip("_"), "")
