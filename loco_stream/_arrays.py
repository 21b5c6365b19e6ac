"""Types of arrays, by that of their items."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
AnyFloat: TypeAlias = NDArray[np.floating]  # float32 or float64
AnyInt: TypeAlias = NDArray[np.integer]
FloatDType: TypeAlias = np.dtype[np.floating]
Bool: TypeAlias = NDArray[np.bool_]
Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int32: TypeAlias = NDArray[np.int32]
Int64: TypeAlias = NDArray[np.int64]
Records: TypeAlias = NDArray[np.record]
