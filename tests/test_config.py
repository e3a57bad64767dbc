import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

import skfhe


@pytest.fixture(autouse=True)
def _as_before():
    yield
    skfhe.set_config(progress=False)


def test_what_is_set_holds_for_all_threads():
    """Unlike in scikit-learn, whose threads begin with the defaults: one person watches all of them."""
    assert skfhe.get_config() == {"progress": False}
    skfhe.set_config(progress=True)
    skfhe.set_config()  # leaves it
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(skfhe.get_config).result() == {"progress": True}


def test_a_context_is_one_thread_s_and_ends_with_an_error():
    entered, looked = threading.Event(), threading.Event()

    def look():
        entered.wait()
        found = skfhe.get_config()
        looked.set()
        return found

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(look)
        with suppress(ZeroDivisionError), skfhe.config_context(progress=True):
            entered.set()
            looked.wait()
            with skfhe.config_context(progress=False):
                assert skfhe.get_config() == {"progress": False}
            assert skfhe.get_config() == {"progress": True}
            1 / 0  # noqa: B018
        assert found.result() == {"progress": False}
    assert skfhe.get_config() == {"progress": False}


def test_forked_processes_begin_with_the_defaults():
    """Several that draw bars on one terminal would draw over each other."""
    skfhe.set_config(progress=True)
    with skfhe.config_context(progress=True):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if skfhe.get_config() == {"progress": False} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_generator_that_another_task_ends_leaves_no_error():
    """Its context is another one then, and what it has set stays where it was."""

    async def rows():
        with skfhe.config_context(progress=True):
            yield 1

    async def ended_elsewhere():
        generator = rows()
        await anext(generator)
        await asyncio.create_task(generator.aclose())

    asyncio.run(ended_elsewhere())
    assert skfhe.get_config() == {"progress": False}


@pytest.mark.parametrize("progress", [1, "yes", np.True_])
def test_what_is_no_truth_value_is_refused(progress):
    with pytest.raises(TypeError, match=f"must be a bool, got .* of type {type(progress).__name__}"):
        skfhe.set_config(progress=progress)
