"""Is progress plain text where there is no terminal?"""

from __future__ import annotations

from ntkseq.reports.progress import Progress


def test_lines_come_at_once_and_stages_with_their_time(capsys):
    with Progress() as progress:
        progress.say("[bold] is no mark-up")
        assert capsys.readouterr().err == "  [bold] is no mark-up\n"
        with progress.stage("kernel"):
            pass
    err = capsys.readouterr().err
    assert err.startswith("  kernel: ") and err.endswith(" s\n") and "\x1b" not in err
