"""What a network runs on."""

from __future__ import annotations

import pytest
import torch

from worldsim.device import NATIVE, choose_device, mixed_precision, policy_of
from worldsim.errors import WorldsimError


def test_a_device_is_chosen_or_refused_in_one_line() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device() == torch.device("cuda:0" if torch.cuda.is_available() else "mps" if has_mps() else "cpu")
    missing = ["cuda:99", "nonsense", "", "cpu:3", *([] if torch.cuda.is_available() else ["cuda", "cuda:0"])]
    for name in missing:
        with pytest.raises(WorldsimError, match="no device .* here; give --device auto, or one of .*cpu") as error:
            choose_device(name)
        assert "\n" not in str(error.value)


def has_mps() -> bool:
    return torch.backends.mps.is_available()


def test_products_are_made_in_the_arithmetic_of_the_processor() -> None:
    weight = torch.ones(3, 2)
    with mixed_precision():
        assert (torch.ones(4, 3) @ weight).dtype is NATIVE
    assert weight.dtype is torch.float32


def test_what_is_put_on_a_device_keeps_its_form() -> None:
    policy = policy_of(torch.device("cpu"))
    given = (torch.ones(2), None, (3, torch.zeros(1)), torch.aminmax(torch.arange(3)))
    put = policy.put(given)
    assert torch.equal(put[0], given[0]) and put[1] is None and put[2][0] == 3
    assert isinstance(put, tuple) and policy.fits(2**50)
