"""Names for the array types of this room, so that signatures read as mathematics.

n rows, K arms (column 0 is always `abstain`), d features.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]  # (n,)
Matrix = NDArray[np.float64]  # (n, K) or (n, d)
Ints = NDArray[np.int64]  # (n,)
Ids = NDArray[np.uint64]  # (n,)
Mask = NDArray[np.bool_]  # (n,) or (n, K)
AnyArray = NDArray[Any]
