import io
import re

from rich.console import Console

from bitq.track.progress import ProgressBars


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def run(clock, every_s=5.0, **more):
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, highlight=False)
    return out, ProgressBars("train", console=console, clock=clock, every_s=every_s, **more)


def test_off_the_terminal_lines_are_rare_and_plain():
    clock = Clock()
    out, bars = run(clock, jobs=2)
    with bars:
        for epoch in range(1, 101):
            clock.now = epoch / 10
            for job in ("binary seed 0", "binary seed 1"):
                bars.update(job, epoch, 100, f"val {epoch}.0 %")
        bars.finish("binary seed 0", "val 97.1 %")
    lines = out.getvalue().splitlines()
    assert len(lines) == 3  # after 5 s, after 10 s, and the end of a job
    assert "binary seed 0 50/100 epochs, val 50.0 %" in lines[0]
    assert re.search(r"binary seed 0: done in 9.9 s, val 97.1 % \(1 of 2\)", lines[2])
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_downloads_show_sizes_and_unknown_totals():
    clock = Clock()
    out, bars = run(clock, every_s=0, unit="B")
    with bars:
        bars.update("a.gz", 1_500_000, 9_900_000)
        bars.update("b.gz", 900, None)
    assert "a.gz 1.5 MB/9.9 MB" in out.getvalue()
    assert "b.gz 900 B" in out.getvalue()


def test_on_a_terminal_every_job_has_a_bar_and_markup_is_text():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with ProgressBars("emulate", unit="samples", console=console) as bars:
        bars.update("[bold]m0", 10, 20, "exact")
        bars.update("m4", 5, None)
        bars.note("a line above")
        bars.finish("[bold]m0")
        bars.finish("m4")
        bars.finish("never begun")
    text = out.getvalue()
    assert "emulate [bold]m0" in text
    assert "10/20 samples" in text
    assert "a line above" in text
