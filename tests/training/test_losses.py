"""Losses: against their textbook forms, with sets of classes, and with nothing known."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F

from agriseg.errors import OptionError
from agriseg.labels import IGNORE, Codes
from agriseg.training.losses import LOSSES, LossOptions, SetLoss, boundary_weights, parse_losses
from tests.support import LEGEND

CODES = Codes.of(LEGEND, ["soil or weed"])
SOIL_OR_WEED = CODES.code("soil or weed")


def drawn(*codes: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    logits = torch.randn(2, 3, 9, 7, dtype=torch.float32) * 2
    choice = torch.tensor(codes, dtype=torch.uint8)
    return logits, choice[torch.randint(0, len(codes), (2, 9, 7))]


def test_cross_entropy_is_that_of_torch() -> None:
    logits, codes = drawn(0, 1, 2, IGNORE)
    expected = F.cross_entropy(logits, codes.long(), ignore_index=IGNORE)
    torch.testing.assert_close(SetLoss(CODES)(logits, codes), expected)


def test_class_weights_are_those_of_torch() -> None:
    logits, codes = drawn(0, 1, 2, IGNORE)
    weights = torch.tensor([0.5, 2.0, 3.0])
    expected = F.cross_entropy(logits, codes.long(), weights, ignore_index=IGNORE)
    torch.testing.assert_close(SetLoss(CODES, class_weights=weights)(logits, codes), expected)


def test_a_set_costs_what_its_classes_lack_together() -> None:
    logits, codes = drawn(SOIL_OR_WEED)
    p = logits.softmax(1)
    expected = -(p[:, 0] + p[:, 2]).log().mean()
    torch.testing.assert_close(SetLoss(CODES)(logits, codes), expected)


def test_dice_jaccard_and_tversky_are_those_of_smp() -> None:
    """On whole labels; smp smooths by a share, ours by a pixel, so both are made small."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 96, 96)
    codes = torch.randint(0, 3, (2, 96, 96), dtype=torch.uint8)
    ours = {
        "dice": smp.losses.DiceLoss("multiclass"),
        "jaccard": smp.losses.JaccardLoss("multiclass"),
        "tversky": smp.losses.TverskyLoss("multiclass", alpha=0.3, beta=0.7),
        "lovasz": smp.losses.LovaszLoss("multiclass"),
    }
    for name, theirs in ours.items():
        found = SetLoss(CODES, name)(logits, codes)
        torch.testing.assert_close(found, theirs(logits, codes.long()), atol=1e-4, rtol=1e-3)


def test_focal_is_its_formula() -> None:
    logits, codes = drawn(0, 1, 2)
    p = logits.softmax(1).gather(1, codes.long()[:, None])[:, 0]
    loss = SetLoss(CODES, "focal", options=LossOptions(focal_gamma=1.5))
    torch.testing.assert_close(loss(logits, codes), (-((1 - p) ** 1.5) * p.log()).mean())


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_ignored_says_nothing(name: str) -> None:
    logits, codes = drawn(0, 1, 2, SOIL_OR_WEED, IGNORE)
    loss = SetLoss(CODES, name, boundary=1.0)
    changed = torch.where((codes == IGNORE)[:, None], logits.flip(0) * 3, logits)
    torch.testing.assert_close(loss(logits, codes), loss(changed, codes))
    logits.requires_grad_()
    loss(logits, codes).backward()
    assert logits.grad is not None
    assert (logits.grad.movedim(1, -1)[codes == IGNORE].abs() < 1e-7).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_set_asks_nothing_between_its_classes(name: str) -> None:
    """Swapping soil and weed where the label is "soil or weed" changes nothing."""
    logits, codes = drawn(1, SOIL_OR_WEED)
    swapped = torch.where((codes == SOIL_OR_WEED)[:, None], logits[:, [2, 1, 0]], logits)
    loss = SetLoss(CODES, name)
    torch.testing.assert_close(loss(logits, codes), loss(swapped, codes))


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_known_gives_no_loss_and_no_nan(name: str) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = SetLoss(CODES, name, boundary=1.0)(logits, torch.full((1, 4, 4), IGNORE).byte())
    loss.backward()
    assert loss.item() == pytest.approx(0)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_right_answer_costs_nothing_and_gradients_lead_there(name: str) -> None:
    _, codes = drawn(0, 1, 2)
    truth = F.one_hot(codes.long(), 3).movedim(-1, 1).float()
    loss = SetLoss(CODES, name)
    assert loss(truth * 30, codes) < 1e-4
    logits = torch.zeros(2, 3, 9, 7, requires_grad=True)
    before = loss(logits, codes)
    before.backward()
    assert logits.grad is not None
    assert loss(logits.detach() - 5 * logits.grad, codes) < before


def test_boundaries_weigh_more_within_the_radius() -> None:
    codes = torch.zeros(1, 3, 9, dtype=torch.uint8)
    codes[..., 5:] = 1
    codes[..., 8] = IGNORE
    weights = boundary_weights(codes, IGNORE, 2, 3.0)
    assert weights[0, 1].tolist() == [1, 1, 1, 4, 4, 4, 4, 1, 1]


def test_sums_are_parsed() -> None:
    assert parse_losses("cross-entropy + 0.5 dice+2*lovasz") == {
        "cross-entropy": 1.0,
        "dice": 0.5,
        "lovasz": 2.0,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dise", "did you mean dice"),
        ("", "is no loss"),
        ("dice + dice", "once"),
        ("0 dice", "above 0"),
    ],
)
def test_faults_of_sums_are_told(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_losses(text)


def test_classes_together_are_also_learned_as_one() -> None:
    """Beside the loss with all classes stands that of plants against soil, without the sets."""
    logits, codes = drawn(0, 1, 2, SOIL_OR_WEED, IGNORE)
    p = logits.softmax(1)
    plants, soil = (codes == 1) | (codes == 2), codes == 0
    apart = torch.where(plants, p[:, 1] + p[:, 2], p[:, 0])[plants | soil].log()
    expected = SetLoss(CODES)(logits, codes) - apart.mean()
    found = SetLoss(CODES, together=CODES.classes("crop or weed"))(logits, codes)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_classes_together_can_be_learned_with_every_loss(name: str) -> None:
    logits, codes = drawn(0, 1, 2, IGNORE)
    logits.requires_grad_()
    alone = SetLoss(CODES, name)(logits, codes)
    loss = SetLoss(CODES, name, together=(1, 2))(logits, codes)
    loss.backward()
    assert loss > alone
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
