import io

import pytest
from rich.console import Console

from bitq.track.trials import TrialRow, TrialTable, print_front

COSTS = {"parameter_bytes": 1234.0, "instructions": 99.0}


def shown(console):
    return console.file.getvalue()


def screen(**options):
    return Console(file=io.StringIO(), width=120, **options)


def test_off_the_terminal_each_trial_ends_in_a_line(tmp_path):
    console = screen()
    done = [TrialRow(0, "bits 1-1", "complete", 0.9, COSTS), TrialRow(1, "bits 8-8", "over")]
    with TrialTable(4, done, console) as table:
        row = TrialRow(2, "bits 1-8")
        table.update(row, 1, 3)
        table.finish(TrialRow(2, "bits 1-8", "complete", 0.95, COSTS), best=2)
        table.finish(TrialRow(3, "bits 8-1", "over"), best=2)
        table.finish(TrialRow(4, "bits 2-2", "failed", note="diverged"), best=2)
    lines = shown(console).splitlines()
    assert "95.00 % on validation, 1,234 B, 99 instructions, bits 1-8 (best so far) (1 of 3)" in lines[0]
    assert "trial 3: over the budget, not trained: bits 8-1" in lines[1]
    assert "failed diverged (2 of 3)" in lines[2]


def test_on_a_terminal_one_table_has_the_states_and_the_best():
    console = screen(force_terminal=True, color_system=None)
    with TrialTable(40, [TrialRow(0, "bits 1-1", "complete", 0.9, COSTS)], console) as table:
        table.finish(TrialRow(1, "bits 8-1", "pruned"), best=0)
        for number in range(2, 30):
            table.update(TrialRow(number, "bits 4-4"), 2, 3, "validation 91.0 %")
        console.print(table._table())
    text = shown(console)
    assert "2 of 40 trials" in text
    assert any("0 " in line and "90.00" in line and "best" in line for line in text.splitlines())
    assert "2/3 epochs, validation 91.0 %" in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_trial_has_one_line_in_any_terminal(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    shown_as = "widths 1.5-0.5-2, bits 4-1-1-2, strength 3.31, freeze_start 0.75 (knapsack 2,133 B)"
    table = TrialTable(60, [TrialRow(7, shown_as, "complete", 0.9894, COSTS)], console)
    table.update(TrialRow(8, shown_as), 7, 20, "validation 99.0 %")
    table.update(TrialRow(9, "bits 8-8"), 7, 20, "the loss is not finite in epoch 3; lower train.lr")
    console.print(table._table())
    lines = [line for line in shown(console).splitlines() if line.strip()]
    assert [line.split()[0] for line in lines[3:]] == ["7", "8", "9"]
    assert "98.94" in lines[3]
    assert "bits 8-8" in lines[5]


def test_the_front_is_aligned_text_with_the_best_marked():
    console = screen()
    print_front(
        [TrialRow(3, "bits 1-1", "complete", 0.9, COSTS), TrialRow(12, "bits 8-8", "complete", 1.0, COSTS)],
        12,
        console,
    )
    assert shown(console).splitlines() == [
        "trial  validation %      B  instructions  parameters",
        "    3         90.00  1,234            99  bits 1-1",
        "   12        100.00  1,234            99  bits 8-8   best",
    ]
    print_front([], None, console)
