"""What only moves elements."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.torch_examples.example import Example, example


def filled(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :2] = -1
    y[:, 0] = x.sum(1)
    y[:, 1:3] = 2 * x[:, :2]
    y[:, 3] += 1.5
    y[:, [4, 5]] = x[:, [1, 0]]
    return y


def summed_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y += 1
    y *= 2
    y -= x.flip(1)
    y /= 4
    return y


def diagonal_cleared(x: Tensor) -> Tensor:
    y = x.exp()
    y.diagonal(dim1=1, dim2=2).zero_()
    y[:, 0, 1:].fill_(2.5)
    return y


def written_through_view(x: Tensor) -> Tensor:
    y = 2 * x
    part = y.view(-1, 2, 3)[:, 0]
    part.clamp_(min=0.0)
    return y


def reshaped_in_place(x: Tensor) -> Tensor:
    y = (x + 1).transpose(1, 2).contiguous()
    y.mul_(0.5)
    return y.transpose(1, 2).reshape(-1, 6)


def cat_of_products(x: Tensor, y: Tensor) -> Tensor:
    return functional.relu(torch.cat([x * y, x - y, torch.where(x > 0, y, 0.5)], 1))


def of_movement() -> dict[str, list[Example]]:
    mask = torch.tensor([True, False, True, True])
    positions = torch.tensor([2, 0, 3])
    return {
        "flatten": [
            example("Flatten", nn.Flatten(), (2, 3)),
            example("of some axes", lambda x: x.flatten(1, 2), (2, 2, 2)),
            example("with the rows kept", lambda x: x.flatten(2), (2, 2, 2)),
        ],
        "reshape, view": [
            example("reshape", lambda x: x.reshape(x.shape[0], 3, 2)),
            example("reshape, rows left open", lambda x: x.reshape(-1, 3, 2)),
            example("view", lambda x: x.view(-1, 2, 3)),
            example("Unflatten", nn.Unflatten(1, (2, 3))),
            example("view_as", lambda x: x.view_as(x.reshape(-1, 2, 3))),
            example("reshape_as", lambda x: x.reshape_as(x.view(-1, 3, 2))),
            example("before an operator in place", reshaped_in_place, (2, 3)),
        ],
        "transpose, permute": [
            example("transpose", lambda x: x.transpose(1, 2), (2, 3)),
            example("permute", lambda x: x.permute(0, 3, 1, 2), (2, 3, 2)),
            example("t", lambda x: x.sum(-1).t(), (3,)),
            example("T", lambda x: x.sum(-1).T, (3,)),
            example("mT", lambda x: x.mT, (2, 3)),
            example("mH", lambda x: x.mH, (2, 3)),
            example("adjoint", lambda x: x.adjoint(), (2, 3)),
            example("swapaxes", lambda x: x.swapaxes(1, 2), (2, 3)),
            example("swapdims", lambda x: x.swapdims(1, 2), (2, 3)),
            example("movedim", lambda x: x.movedim((1, 2), (2, 3)), (2, 3, 2)),
            example("moveaxis", lambda x: x.moveaxis(1, -1), (2, 3, 2)),
        ],
        "squeeze": [
            example("one axis", lambda x: x.squeeze(1), (1, 3)),
            example("several axes", lambda x: x.squeeze((1, 3)), (1, 3, 1)),
            example("all axes", lambda x: x.squeeze(), (1, 3)),
        ],
        "unsqueeze": [
            example("last", lambda x: x.unsqueeze(-1)),
            example("by indexing", lambda x: x[:, None]),
        ],
        "expand, repeat": [
            example("expand", lambda x: x[:, None].expand(-1, 2, -1), (3,)),
            example("expand_as", lambda x, y: x[:, None].expand_as(y) + y, (3,), (2, 3)),
            example("repeat", lambda x: x.repeat(1, 2), (3,)),
            example("repeat_interleave", lambda x: x.repeat_interleave(2, 1), (3,)),
            example(
                "repeat_interleave by element",
                lambda x: x.repeat_interleave(torch.tensor([1, 0, 2]), 1, output_size=3),
                (3,),
            ),
            example("tile", lambda x: torch.tile(x, (1, 2)), (3,)),
            example("broadcast_tensors", lambda x, y: torch.add(*torch.broadcast_tensors(x, y)), (3,), (1,)),
            example("broadcast_to", lambda x: x[:, None].broadcast_to(len(x), 2, 3), (3,)),
        ],
        "concat, stack": [
            example("cat", lambda x, y: torch.cat([x, 2 * y], 1), (2, 3), (1, 3)),
            example("cat along the last axis", lambda x: torch.cat([x, -x, x], -1), (2, 2)),
            example(
                "cat with constants",
                lambda x: torch.cat([x.new_ones(len(x), 1), x, x.new_zeros(len(x), 2)], 1),
            ),
            example("cat of functions", lambda x: torch.cat([x.relu(), x.sin()], 1)),
            example("cat of products", cat_of_products, (3,), (3,), rounding=8, bound=0.04),
            example("concat", lambda x: torch.concat([x, x], 1)),
            example("concatenate", lambda x: torch.concatenate([x, x], 1)),
            example("stack", lambda x, y: torch.stack([x, y, x + 1], 1), (3,), (3,)),
            example("stack at the end", lambda x: torch.stack([x, x.new_full(x.shape, 1.5)], -1), (3,)),
            example("hstack", lambda x: torch.hstack([x, x])),
            example("column_stack", lambda x: torch.column_stack([x, x.sum(1)])),
            example("dstack", lambda x: torch.dstack([x, -x]), (2, 2)),
        ],
        "slice, select, narrow": [
            example("slice", lambda x: x[:, 1:5]),
            example("slice with steps", lambda x: x[:, 1::2, :-1], (4, 3)),
            example("select", lambda x: x[:, 2]),
            example("select from the end", lambda x: x[..., -1], (2, 3)),
            example("narrow", lambda x: x.narrow(1, 1, 3)),
            example("diagonal", lambda x: x.diagonal(dim1=1, dim2=2), (3, 3)),
        ],
        "split, chunk": [
            example("split", lambda x: x.split(4, 1)),
            example("split by sizes", lambda x: torch.split(x, [1, 2, 3], -1)),
            example("chunk", lambda x: x.chunk(2, -1)[1]),
            example("unbind", lambda x: torch.unbind(x, 1)[1:], (3, 2)),
            example("tensor_split", lambda x: x.tensor_split(4, 1)[:2]),
            example("unsafe_chunk", lambda x: torch.unsafe_chunk(x, 2, 1)[0]),
            example("unsafe_split", lambda x: torch.unsafe_split(x, 4, 1)[1]),
            example("hsplit", lambda x: torch.hsplit(x, 2)[1]),
        ],
        "gather, index": [
            example("gather", lambda x: x.gather(1, torch.tensor([[2, 0, 0]]).expand(len(x), -1))),
            example("index", lambda x: x[:, [2, 0, 3]]),
            example("index by two", lambda x: x[:, [0, 1], [1, 0]], (2, 3)),
            example("index by a mask", lambda x: x[:, mask], (4, 2)),
            example("index_select", lambda x: x.index_select(1, positions)),
            example(
                "take_along_dim", lambda x: torch.take_along_dim(x, torch.tensor([[1], [0]])[None], 2), (2, 3)
            ),
        ],
        "pad": [
            example("zeros", nn.ZeroPad2d((1, 0, 2, 1)), (1, 2, 2)),
            example("a constant", nn.ConstantPad1d(2, -1.5), (2, 3)),
            example("cropped", lambda x: functional.pad(x, (-1, 1), value=0.5)),
            example("reflected", nn.ReflectionPad1d(2), (2, 4)),
            example("reflected, 2d", nn.ReflectionPad2d(1), (1, 3, 3)),
            example("replicated", nn.ReplicationPad1d((1, 2)), (2, 4)),
            example("replicated, 2d", nn.ReplicationPad2d(1), (1, 2, 2)),
            example("circular", nn.CircularPad1d(2), (2, 3)),
            example("constant_pad_nd", lambda x: torch.constant_pad_nd(x, [1, 1], 2.0), (3,)),
            example("of a function", lambda x: functional.pad(x.exp(), (1, 1), value=0.25), (3,)),
        ],
        "unfold": [
            example("unfold", lambda x: x.unfold(1, 3, 2), (7,)),
            example("of images", nn.Unfold((2, 3), padding=1, stride=2), (1, 3, 4)),
        ],
        "flip, roll": [
            example("flip", lambda x: x.flip(1, 2), (2, 3)),
            example("fliplr", lambda x: torch.fliplr(x)),
            example("roll", lambda x: x.roll(2, 1)),
            example("roll of two axes", lambda x: torch.roll(x, (1, 1), (1, 2)), (2, 3)),
            example("rot90", lambda x: torch.rot90(x, 1, (1, 2)), (2, 3)),
        ],
        "tril, triu": [
            example("tril", lambda x: x.tril(), (3, 3)),
            example("triu", lambda x: x.triu(1), (3, 4)),
        ],
        "pixel_shuffle": [
            example("PixelShuffle", nn.PixelShuffle(2), (4, 2, 1)),
            example("PixelUnshuffle", nn.PixelUnshuffle(2), (1, 2, 4)),
            example("ChannelShuffle", nn.ChannelShuffle(2), (4, 1, 2)),
        ],
        "upsample, nearest": [
            example("1d", nn.Upsample(scale_factor=2), (2, 3)),
            example("2d", nn.UpsamplingNearest2d((4, 3)), (1, 2, 3)),
            example("nearest-exact", nn.Upsample(5, mode="nearest-exact"), (1, 3)),
            example("nearest-exact, 2d", nn.Upsample((3, 3), mode="nearest-exact"), (1, 2, 2)),
        ],
        "contiguous, clone, detach": [
            example("contiguous", lambda x: x.mT.contiguous(), (2, 3)),
            example("clone", lambda x: x.clone()),
            example("detach", lambda x: x.detach()),
            example("alias", lambda x: torch.ops.aten.alias(x)),
        ],
        "writing to parts": [
            example("parts", filled, (6,)),
            example("through a view", written_through_view, (6,)),
            example("sums", summed_in_place, (6,)),
            example("a diagonal", diagonal_cleared, (3, 3)),
        ],
    }
