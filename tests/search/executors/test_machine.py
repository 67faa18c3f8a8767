from search.executors.machine import count_cores, divide_machine, free_memory_bytes, list_gpus


def test_memory_limits_the_workers() -> None:
    assert divide_machine("auto", "auto", n_cores=64, free_bytes=5_000_000_000) == (3, 21)
    assert divide_machine("auto", "auto", n_cores=1, free_bytes=0) == (1, 1)


def test_gpus_decide_the_workers() -> None:
    assert divide_machine("auto", "auto", n_cores=8, free_bytes=10**12, n_gpus=2) == (2, 4)


def test_what_the_user_says_is_done() -> None:
    assert divide_machine(5, "auto", n_cores=2, free_bytes=0) == (5, 1)
    assert divide_machine(1, 7, n_cores=2, free_bytes=0) == (1, 7)
    assert divide_machine("auto", 1, n_cores=4, free_bytes=10**12) == (2, 1)


def test_this_machine_has_something() -> None:
    assert count_cores() >= 1
    assert free_memory_bytes() > 0
    assert list_gpus(visible="-1") == ()
