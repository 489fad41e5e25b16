"""What each rank keeps is a pure function, whole and even."""

from hypothesis import given
from hypothesis import strategies as st

from training.distributed import partition


@given(sizes=st.dictionaries(st.text("abc", min_size=1), st.integers(1, 1000)), world=st.integers(1, 9))
def test_shares_hold_every_name_once_and_are_even(sizes, world):
    shares = partition(sizes, world_size=world)
    assert sorted(name for names in shares for name in names) == sorted(sizes)
    loads = [sum(sizes[name] for name in names) for names in shares]
    assert max(loads) - min(loads) <= max(sizes.values(), default=0)
    assert shares == partition(dict(reversed(sizes.items())), world_size=world)
