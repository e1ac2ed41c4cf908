import io
import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bitq.track.result import Metric
from bitq.track.table import HEADINGS, print_end
from bitq.track.tracker import Link


def printed(result, terminal=False, width=120, **more):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, highlight=False)
    print_end(result, Path("outputs/x/result.json"), console=console, **more)
    return out.getvalue()


def test_plain_text_is_aligned_narrow_and_free_of_control_codes(result):
    text = printed(result, link=Link("python -m bitq.ui", "http://127.0.0.1:5000/#/x"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert max(map(len, text.splitlines())) <= 120
    head, _, plain, binary = text.splitlines()[1:5]
    assert re.split(r"\s{2,}", head) == list(HEADINGS)
    for row in (plain, binary):
        assert len(row) == len(head)
    assert re.split(r"\s{2,}", plain)[1:4] == ["98.00 ± 1.00", "97.00", "n/a"]
    assert re.split(r"\s{2,}", plain)[-1] == "n/a"
    assert re.split(r"\s{2,}", binary) == [
        "binary", "96.00 ± 1.00", "95.00", "96.50 → 96.00", "520", "1,234", "700", "9,800", "yes",
    ]  # fmt: skip


def test_the_last_line_is_the_path_even_on_a_narrow_terminal(result):
    for terminal in (False, True):
        text = printed(result, terminal, link=Link("python -m bitq.ui", "http://x/" + "y" * 200))
        assert text.splitlines()[-1] == "outputs/x/result.json"
        assert "http://x/" + "y" * 200 in text


def test_no_number_is_cut_on_any_terminal(result):
    for width in (40, 80, 98, 100, 120):
        text = printed(result, True, width)
        for number in ("98.00 ± 1.00", "96.50 → 96.00", "1,234", "9,800"):
            assert number in text
        assert "…" not in text


def test_what_weakens_a_result_is_said(result, variant):
    text = printed(result)
    assert "SIMULATED" in text
    assert "NOT EXACT" not in text
    wrong = replace(variant, host_mismatches=3)
    unseen = replace(variant, targets={"m0": replace(variant.targets["cortex-m0plus"], executed="")})
    bad = replace(result, status="failed", error="out of budget", variants={"a": wrong, "b": unseen})
    text = printed(bad)
    assert "NOT EXACT: the C of a differs" in text
    assert "NOT EXECUTED" in text
    assert "failed: out of budget" in text


def test_an_error_says_its_unit_and_its_direction_and_one_seed_has_no_spread(result):
    single = {name: replace(v, metric=Metric.over("mae", [1.47412])) for name, v in result.variants.items()}
    text = printed(replace(result, seeds=[0], variants=single))
    assert "±" not in text
    assert re.search(r"binary +1\.474 +1\.474 ", text)
    assert "Test: mae (mean absolute error) of a single seed; in units of the target, less is better." in text
    several = {name: replace(v, metric=Metric.over("mae", [1.4, 1.5])) for name, v in result.variants.items()}
    text = printed(replace(result, variants=several))
    assert re.search(r"binary +1\.450 ± 0\.071 +1\.500 ", text)


def test_each_target_has_a_row(result, variant):
    measured = variant.targets["cortex-m0plus"]
    both = replace(variant, targets={"m0": measured, "m4": replace(measured, instructions=None, flash_bytes=99)})
    text = printed(replace(result, variants={"binary": both}))
    assert re.search(r"binary @ m0 .* 1,234 .* 9,800 ", text)
    assert re.search(r"binary @ m4 .* 99 .* - ", text)


def test_long_names_and_markup_do_not_break_the_table(result, variant):
    text = printed(replace(result, variants={"[red]" + "x" * 200: variant}))
    assert max(map(len, text.splitlines()[:5])) <= 120
    assert "[red]xxx" in text
    assert printed(replace(result, variants={}, status="failed", error="no data")).endswith("result.json\n")
