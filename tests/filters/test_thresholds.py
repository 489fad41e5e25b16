"""What of a rule can be drawn into a histogram."""

import pytest

from filters.thresholds import thresholds


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("hate < 0.12 and 3 <= Min_Side", ["hate < 0.12", "min_side >= 3"]),
        ("aspect between -1.5 and 4", ["aspect >= -1.5", "aspect <= 4"]),
        ("language = 'en' or language_score < 0.4", ["language_score < 0.4"]),
        ("not near_copy", []),
        ("width * height > 1000", []),
        ("x < 1e999", []),
        ("no SQL at all;", []),
    ],
)
def test_only_comparisons_of_a_column_with_a_number_are_found(rule: str, found: list[str]):
    assert [str(threshold) for threshold in thresholds("rule", rule)] == found
