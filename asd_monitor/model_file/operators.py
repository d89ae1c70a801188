"""What the code of a model file may call: pure functions of numbers and tensors."""


def _split(*texts: str) -> frozenset[str]:
    return frozenset(" ".join(texts).split())


OPERATORS = _split(
    # Tensors: new ones, shapes, selection.
    "arange cat chunk clone contiguous copy_ detach dim empty_like expand expand_as eye fill_",
    "flatten flip full full_like gather index index_add_ index_put_ index_select linspace",
    "masked_fill masked_fill_ masked_select meshgrid movedim narrow new_full new_ones new_zeros",
    "nonzero numel ones ones_like outer pad permute repeat repeat_interleave reshape roll scatter",
    "scatter_ scatter_add scatter_add_ select size slice split split_with_sizes squeeze stack",
    "swapaxes t take take_along_dim tensor tile to transpose tril triu unbind unflatten unfold",
    "unsqueeze view view_as view_as_complex view_as_real where zero_ zeros zeros_like type_as",
    "device is_floating_point as_tensor",
    # Elementwise.
    "abs add add_ addcdiv addcmul asin acos atan atan2 bitwise_and bitwise_not bitwise_or",
    "bitwise_xor ceil clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ complex cos cosh div",
    "div_ eq erf erfc exp exp_ expm1 floor floor_divide floordiv fmod frac ge gt hypot imag",
    "isfinite isinf isnan le lerp lgamma log log10 log1p log2 log_ logaddexp logical_and",
    "logical_not logical_or logical_xor lt max maximum min minimum mul mul_ nan_to_num ne neg pow",
    "polar real reciprocal remainder round rsqrt rsub sigmoid sigmoid_ sign sin sinh sqrt sqrt_",
    "square sub sub_ tan tanh tanh_ trunc angle conj sgn xlogy float_power digamma erfinv",
    # Reductions and order.
    "all amax amin aminmax any argmax argmin argsort bincount bucketize count_nonzero cummax",
    "cummin cumprod cumsum diff histc kthvalue logcumsumexp logsumexp mean median mode nanmean",
    "nanmedian nansum norm prod quantile searchsorted sort std std_mean sum topk unique",
    "unique_consecutive var var_mean",
    # Linear algebra, spectra.
    "addbmm addmm addmv baddbmm bmm cdist cholesky_solve cosine_similarity cov cross dot einsum",
    "fft_fft fft_fftfreq fft_fftshift fft_ifft fft_ifftshift fft_irfft fft_rfft fft_rfft2",
    "fft_rfftfreq hann_window hamming_window istft kron linalg_cholesky linalg_cross linalg_det",
    "linalg_eigh linalg_inv linalg_norm linalg_qr linalg_slogdet linalg_solve",
    "linalg_solve_triangular linalg_svd linalg_vector_norm matmul mm mv pairwise_distance pdist",
    "stft tensordot trace vander vdot",
    # Layers.
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d avg_pool1d",
    "avg_pool2d batch_norm celu conv1d conv2d conv3d conv_transpose1d conv_transpose2d dropout",
    "elu embedding feature_dropout gelu glu group_norm gru hardsigmoid hardswish hardtanh",
    "hardtanh_ instance_norm layer_norm leaky_relu leaky_relu_ linear log_sigmoid log_softmax",
    "lstm max_pool1d max_pool2d mish mse_loss l1_loss pixel_shuffle pixel_unshuffle prelu relu",
    "relu6 relu6_ relu_ rms_norm scaled_dot_product_attention selu silu silu_ softmax softplus",
    "softshrink upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d",
    "im2col col2im",
    # Lists, texts and numbers.
    "Bool Float Int append extend format insert len list pop dict keys values items __and__",
    "__contains__ __derive_index __getitem__ __is__ __isnot__ __not__ __or__ __range_length",
    "__xor__ warn",
)
"""Names after ``torch.`` in TorchScript's code, which are names of ``aten`` operators."""

PRIMITIVES = _split(
    "prim.RaiseException prim.abs prim.device prim.dtype prim.is_cuda prim.layout prim.max",
    "prim.min prim.shape prim.unchecked_unwrap_optional",
)
"""Names after ``ops.`` in TorchScript's code."""

BUILTINS = _split(
    "abs annotate bool complex float getattr int isinstance len list max min range str sum tuple",
    "unchecked_cast uninitialized",
)
"""Functions that code may call without a namespace."""

TYPES = _split(
    "Any Device Dict Final List Module NoneType Number Optional Tensor Tuple Union bool complex",
    "float int number str inf nan infj nanj None",
)
"""Names of types and constants."""

FORBIDDEN = _split(
    "__delattr__ __del__ __enter__ __exit__ __getattr__ __getstate__ __reduce__ __setattr__",
    "__setstate__ as_strided as_strided_ awaitable data_ptr fork from_file load python_value",
    "record_stream requires_grad_ resize_ resize_as_ save set_ set_data wait write",
)
"""Names that no model may define, since torch calls them itself or has an operator of that name
that touches files or memory."""

PICKLED = frozenset(
    [
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch.jit._pickle build_intlist",
        "torch.jit._pickle build_doublelist",
        "torch.jit._pickle build_boollist",
        "torch.jit._pickle build_tensorlist",
        "torch.jit._pickle restore_type_tag",
        *(
            f"torch {kind}Storage"
            for kind in ("Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short",
                         "BFloat16", "ComplexFloat", "ComplexDouble")
        ),
    ]
)  # fmt: skip
"""Globals of the pickles of a model file, in addition to the classes that its code defines."""

PICKLE_OPCODES = _split(
    "APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPERSID BINPUT BINUNICODE BUILD DICT",
    "EMPTY_DICT EMPTY_LIST EMPTY_TUPLE GLOBAL LIST LONG1 LONG_BINGET LONG_BINPUT MARK NEWFALSE",
    "NEWOBJ NEWTRUE NONE POP PROTO REDUCE SETITEM SETITEMS STOP TUPLE TUPLE1 TUPLE2 TUPLE3",
)
