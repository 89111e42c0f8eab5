import subprocess
import sys

import pytest

from ntkseq.studies import joining
from tests.executors import free_port


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((None, 1, None), "process_id belongs to coordinator"),
        (("host:80", 1, None), "go together"),
        (("host:80", 4, 4), "process_id must be an integer"),
        (("host:80", None, None), "needs to be told which process this is"),
        (("host", 0, 1), "coordinator must be HOST:PORT, or auto; got 'host'"),
        (("host:0", 0, 1), "coordinator must be HOST:PORT"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_door(given, words):
    with pytest.raises(ValueError, match=words):
        joining.check(*given)


@pytest.mark.parametrize(
    ("err", "words"),
    [
        ("ALREADY_EXISTS: Aborted", "two processes say that they are process 1 of 3"),
        ("DEADLINE_EXCEEDED: Barrier", "nobody listens at coordinator 127.0.0.1:"),
    ],
)
def test_what_jax_said_becomes_one_line(err, words):
    assert words in joining._why(f"127.0.0.1:{free_port()}", 1, 3, err)


JOIN = """
import sys
from ntkseq.studies import joining
joining.WAIT = int(sys.argv[4])
try:
    print(*joining.joined(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
except OSError as error:
    print(error)
"""


def together(*processes: tuple[int, int], wait: int = 30) -> list[str]:
    """What each of some processes (index, count) finds when they join at one address."""
    address = f"127.0.0.1:{free_port()}"
    running = [
        subprocess.Popen([sys.executable, "-c", JOIN, address, *map(str, (*one, wait))], stdout=-1, text=True)
        for one in processes
    ]
    return [one.communicate(timeout=120)[0].strip() for one in running]


@pytest.mark.slow
def test_processes_find_each_other_and_say_who_did_not_come():
    assert together((0, 2), (1, 2)) == ["0 2", "1 2"]
    first, second = together((0, 2), (1, 3))
    assert first == "0 2" and "num_processes must be the same for all processes; got 3 here" in second
    (alone,) = together((0, 2), wait=5)
    assert "process 0 of 2 waited 5 s" in alone and "not all of them came" in alone
    (late,) = together((1, 2), wait=5)
    assert "nobody listens at coordinator" in late
