"""Networks of convolutions, over one to three axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.of_perceptrons import Residual
from tests.importers.zoo.specimen import Network, function, network

SHADES = {"span": (0.0, 1.0)}


def conv(n_read: int, n_made: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(n_read, n_made, kernel, padding=kernel // 2, **options)


class Block(nn.Module):
    """A basic residual block, with a convolution of one pixel past it where sizes change."""

    def __init__(self, n_read: int, n_made: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(n_read, n_made, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_made),
            nn.ReLU(),
            conv(n_made, n_made, bias=False),
            nn.BatchNorm2d(n_made),
        )
        self.past = nn.Identity()
        if stride > 1 or n_read != n_made:
            self.past = nn.Sequential(
                nn.Conv2d(n_read, n_made, 1, stride, bias=False), nn.BatchNorm2d(n_made)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.past(x))


class PreActivated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(2), conv(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(self.norm(x)))


class Dense(nn.Module):
    """Each layer reads what all before it made."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv(1 + 2 * i, 2) for i in range(2))
        self.transition = nn.Sequential(nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1), nn.AvgPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, torch.relu(layer(x))], dim=1)
        return self.transition(x)


class Inception(nn.Module):
    """Kernels of several sizes and a pooling beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = conv(1, 1, 1), nn.Sequential(conv(1, 1, 1), nn.ReLU(), conv(1, 2))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.cat([self.one(x), self.three(x), self.pooled(x)], 1)).mean((2, 3))


class SqueezeExcite(nn.Module):
    """Channels scaled by what is seen of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(1, 2)
        self.scales = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        return x * self.scales(x)


class UNet(nn.Module):
    """Down, up again, and past."""

    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.down, self.bottom, self.up = conv(1, 2), conv(2, 2), up
        self.head = conv(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = torch.relu(self.down(x))
        coarse = torch.relu(self.bottom(functional.max_pool2d(fine, 2)))
        return self.head(torch.cat([fine, self.up(coarse)], dim=1))


class Shuffled(nn.Module):
    """A ShuffleNet unit: half of the channels pass, and then they are mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(2, 2, 1), nn.ReLU(), conv(2, 2, groups=2))

    def forward(self, x: Tensor) -> Tensor:
        passed, read = x.chunk(2, dim=1)
        x = torch.cat([passed, self.branch(read)], dim=1)
        n_rows, n_channels, height, width = x.size()
        x = x.view(n_rows, 2, n_channels // 2, height, width).transpose(1, 2).contiguous()
        return x.view(n_rows, -1, height, width)


class ChannelsLast(nn.Module):
    """A ConvNeXt block: norm and linear layers over the channels of each pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm = conv(2, 2, groups=2), nn.LayerNorm(2, eps=0.1)
        self.inner = nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 2))
        self.scale = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))
        return x + (self.scale * y).permute(0, 3, 1, 2)


class Pyramid(nn.Module):
    """Poolings into grids of several sizes, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([functional.adaptive_max_pool2d(x, n).flatten(1) for n in (1, 2, 3)], dim=1)


class SpatialAttention(nn.Module):
    """Pixels weighted by a convolution of the mean and the maximum over their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(seen))


class Coordinates(nn.Module):
    """A convolution that also reads where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        n_rows, _, height, width = x.shape
        down = torch.linspace(-1, 1, height).view(1, 1, -1, 1).expand(n_rows, 1, height, width)
        right = torch.linspace(-1, 1, width).view(1, 1, 1, -1).expand(n_rows, 1, height, width)
        return torch.relu(self.conv(torch.cat([x, down.to(x), right.to(x)], dim=1)))


class Gated(nn.Module):
    """Dilated causal convolutions of a series, gated, with sums past them."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.ModuleList(nn.Conv1d(2, 2, 2, dilation=d) for d in (1, 2))
        self.gates = nn.ModuleList(nn.Conv1d(2, 2, 2, dilation=d) for d in (1, 2))
        self.head = nn.Conv1d(2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        for value, gate in zip(self.values, self.gates, strict=True):
            earlier = functional.pad(x, (value.dilation[0], 0))
            x = x + torch.tanh(value(earlier)) * torch.sigmoid(gate(earlier))
        return self.head(torch.relu(x))


class ThreeBranches(nn.Module):
    """A RepVGG block before its branches are merged."""

    def __init__(self) -> None:
        super().__init__()
        self.three, self.one, self.norm = conv(2, 2), conv(2, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.three(x) + self.one(x) + self.norm(x))


class TwoReaders(nn.Module):
    """Two convolutions of one image, one of them of a function of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(1, 2), conv(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(torch.sigmoid(x))) + torch.relu(self.second(x))


class Padded(nn.Module):
    """One convolution for each way of padding."""

    def __init__(self) -> None:
        super().__init__()
        modes = ("zeros", "reflect", "replicate", "circular")
        self.layers = nn.ModuleList(nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode) for mode in modes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([layer(x) for layer in self.layers], dim=1)


def lenet(pool: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        pool,
        nn.Conv2d(2, 3, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12, 3),
    )


def normed(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv(1, 4), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def mobile() -> nn.Sequential:
    inner = nn.Sequential(
        conv(2, 4, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        conv(4, 4, groups=4, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(),
        conv(4, 2, 1, bias=False),
        nn.BatchNorm2d(2),
    )
    return nn.Sequential(Residual(inner), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def small_resnet() -> nn.Sequential:
    return nn.Sequential(
        conv(1, 2),
        nn.ReLU(),
        Block(2, 2, 1),
        Block(2, 4, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def fire() -> nn.Module:
    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze, self.one, self.three = conv(2, 1, 1), conv(1, 2, 1), conv(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.squeeze(x))
            return torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], dim=1)

    return Fire()


def mixed_pools(x: Tensor) -> Tensor:
    return 0.3 * functional.avg_pool2d(x, 2) + 0.7 * functional.max_pool2d(x, 2)


def temporal() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 3, 2),
        nn.BatchNorm1d(3),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


def volumes() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(1, 2, 2),
        nn.BatchNorm3d(2),
        nn.ReLU(),
        nn.MaxPool3d((1, 2, 2)),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def mixer() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 2, 2),
        nn.GELU(),
        Residual(nn.Sequential(conv(3, 3, groups=3), nn.GELU(), nn.BatchNorm2d(3))),
        nn.Conv2d(3, 2, 1),
        nn.Flatten(),
    )


def of_patches() -> nn.Sequential:
    """A linear layer over windows that ``unfold`` cuts out."""
    return nn.Sequential(nn.Unfold(2, stride=2), nn.Linear(4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


def decoder() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 2, 2), nn.ReLU(), nn.ConvTranspose2d(2, 1, 2, 2), nn.Sigmoid())


def upsampled(x: Tensor) -> Tensor:
    finer = [functional.interpolate(x, scale_factor=2, mode=mode) for mode in ("nearest", "bilinear")]
    corners = functional.interpolate(x, size=(6, 6), mode="bilinear", align_corners=True)
    return torch.relu(torch.cat([*finer, corners], dim=1) - 0.3)


def convolutions() -> list[Network]:
    image, tiny = (1, 6, 6), (1, 4, 4)
    up = nn.ConvTranspose2d
    return [
        network("CNN with average pooling", lambda: lenet(nn.AvgPool2d(2, 1)), image, bound=0.2, **SHADES),
        network("CNN with max pooling", lambda: lenet(nn.MaxPool2d(2, 1)), image, bound=0.2, **SHADES),
        network("CNN of a series", temporal, (2, 6)),
        network("CNN of volumes", volumes, (1, 3, 3, 3), bound=0.2),
        network(
            "CNN with grouped and dilated kernels",
            lambda: nn.Sequential(
                nn.Conv2d(2, 4, 2, groups=2, dilation=2),
                nn.Tanh(),
                nn.Conv2d(4, 2, 1, groups=2),
                nn.Flatten(),
            ),
            (2, 4, 4),
        ),
        network(
            "depthwise separable",
            lambda: nn.Sequential(
                conv(2, 2, groups=2), nn.ReLU(), conv(2, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
            ),
            (2, 3, 3),
        ),
        network("small ResNet", small_resnet, tiny, bound=0.3, **SHADES, slow=True),
        network(
            "pre-activated residuals",
            lambda: nn.Sequential(PreActivated(), PreActivated()),
            (2, 3, 3),
            bound=0.2,
        ),
        network("densely connected", Dense, tiny, bound=0.2, **SHADES, slow=True),
        network("inception", Inception, tiny, bound=0.2, **SHADES),
        network("squeeze and excite", SqueezeExcite, (1, 3, 3), bound=0.2, **SHADES),
        network("U-net with transposed convolution", lambda: UNet(up(2, 2, 2, 2)), tiny, bound=0.2, **SHADES),
        network(
            "U-net with nearest upsampling",
            lambda: UNet(nn.Upsample(scale_factor=2)),
            tiny,
            bound=0.2,
            **SHADES,
        ),
        network("upsampling, three ways", function(upsampled), (1, 3, 3), **SHADES),
        network(
            "pixel shuffle",
            lambda: nn.Sequential(conv(1, 2), nn.Tanh(), conv(2, 4), nn.PixelShuffle(2), nn.Hardtanh(0, 1)),
            (1, 3, 3),
            bound=0.2,
            **SHADES,
        ),
        network("channel shuffle", Shuffled, (4, 3, 3), bound=0.2),
        network("inverted residual", mobile, (2, 3, 3), bound=0.2, slow=True),
        network(
            "all convolutions, global maximum",
            lambda: nn.Sequential(
                conv(1, 2), nn.ReLU(), nn.Conv2d(2, 3, 2, 2), nn.AdaptiveMaxPool2d(1), nn.Flatten()
            ),
            tiny,
            bound=0.2,
            **SHADES,
        ),
        network("ConvNeXt block", ChannelsLast, (2, 3, 3), bound=0.3, slow=True),
        network(
            "CNN with group norm",
            lambda: normed(nn.GroupNorm(2, 4)),
            (1, 3, 3),
            bound=0.3,
            **SHADES,
            slow=True,
        ),
        network(
            "CNN with instance norm",
            lambda: nn.Sequential(conv(1, 2), nn.InstanceNorm2d(2, affine=True), nn.ReLU()),
            (1, 3, 3),
            bound=0.3,
            **SHADES,
            slow=True,
        ),
        network("padding, four ways", Padded, (1, 3, 3)),
        network("convolutional autoencoder", decoder, tiny, **SHADES),
        network(
            "spatial pyramid",
            lambda: nn.Sequential(conv(1, 2), nn.ReLU(), Pyramid(), nn.Linear(28, 2)),
            tiny,
            bound=0.2,
            **SHADES,
        ),
        network("two convolutions of one image", TwoReaders, (1, 3, 3), **SHADES),
        network("mixed pooling", function(mixed_pools), tiny, **SHADES),
        network("convolution mixer", mixer, tiny, bound=0.2, **SHADES),
        network("fire module", fire, (2, 3, 3), bound=0.2),
        network("spatial attention", SpatialAttention, (2, 3, 3), bound=0.2),
        network("convolution of coordinates", Coordinates, (1, 3, 3), **SHADES),
        network("gated convolutions of a series", Gated, (2, 5), bound=0.3, slow=True),
        network("three branches", ThreeBranches, (2, 3, 3)),
        network("linear layer over patches", of_patches, (1, 4, 4), **SHADES),
    ]
