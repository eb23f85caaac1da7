"""Any JSON value, for the laws that hold of all of them."""

from hypothesis import strategies as st

from agentflow.digest import Json

#: What text may hold, but for halves of surrogate pairs, which are no text.
TEXTS = st.text(max_size=20)
SCALARS: st.SearchStrategy[Json] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
JSON_VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4),
    max_leaves=12,
)
