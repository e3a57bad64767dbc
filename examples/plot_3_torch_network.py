"""
From a torch network to an encrypted one
========================================

Five steps on a board of four by four squares: a network in floats, its integers after
training, fewer weights, training *with* integers, and the encrypted run. The board is
a hard test, for every corner of it needs precision, and a few bits have little. Each
step is drawn as the decision boundary that is left.
"""

# %%
# The board
# ---------
# Points of a grid, jittered; the label is the colour of the square that a point came
# from. So no model can be right on every point near an edge.

import brevitas.nn as qnn
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from torch import nn

from skfhe.importers import quantize_brevitas_qat_model, quantize_torch_model

axis = np.linspace(0, 1, 50)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
y = np.bitwise_xor(*(np.rint(3 * grid).astype(int) % 2).T)
rng = np.random.default_rng(0)
X = (grid + rng.normal(0, 0.01, grid.shape)).astype(np.float32)
held_out = rng.random(len(X)) < 0.2
X_train, y_train, X_test, y_test = (
    X[~held_out],
    y[~held_out],
    X[held_out],
    y[held_out],
)


def trained(net, epochs=150, lr=0.02, keep=None):
    """Train; with ``keep``, weights of each neuron go until that many are left."""
    torch.manual_seed(0)
    inner = [layer for layer in net if isinstance(layer, nn.Linear)][1:]
    optimizer = torch.optim.Adam(net.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=epochs * 16, pct_start=0.1
    )
    rows, labels = torch.from_numpy(X_train), torch.from_numpy(y_train)
    masks = [torch.ones_like(layer.weight) for layer in inner]
    for epoch in range(epochs):
        net.train()
        for batch in torch.randperm(len(rows)).tensor_split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                net(rows[batch]), labels[batch]
            ).backward()
            optimizer.step()
            schedule.step()
            for layer, mask in zip(inner, masks, strict=True):
                layer.weight.data *= mask
        share = min(1, epoch / (0.6 * epochs))
        for layer, mask in zip(inner if keep else (), masks, strict=False):
            kept = round(layer.in_features ** (1 - share) * keep**share)
            mask.scatter_(1, layer.weight.abs().argsort(dim=1)[:, :-kept], 0)
    return net.eval()


def accuracy(scores):
    """Return the share of rows held out whose larger score is that of their class."""
    return round(float(np.mean(np.argmax(scores, axis=1) == y_test)), 3)


# %%
# 1. Floats
# ---------
# Two hidden layers of 48 neurons: a network as anybody would write it.


def float_network():
    """Return a network that is not trained yet."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 48),
        nn.ReLU(),
        nn.Linear(48, 48),
        nn.ReLU(),
        nn.Linear(48, 2),
    )


net = trained(float_network())
float_scores = net(torch.from_numpy(X_test)).detach().numpy()
print("float:", accuracy(float_scores))

# %%
# 2. Integers after training
# --------------------------
# Encryption computes with integers. Rounding all weights and all values between layers
# to three bits is called post-training quantization. Three bits are eight values, and
# the network was never told.

after = quantize_torch_model(net, X_train, n_bits=3)
print(
    "3 bits after training:",
    accuracy(after.forward(X_test)),
    "- accumulators:",
    after.accumulator_bits_,
)

# %%
# The *accumulators* are the sums that each neuron's activation reads. An activation is
# a table lookup, whose price more than doubles with each bit: at 8 bits one takes 0.2
# seconds, at 4 bits five milliseconds. (Two widths of one layer, such as 5 and 4, are
# of one sum that two narrower tables read.)
#
# 3. Fewer weights
# ----------------
# A sum of fewer products is narrower. Pruning takes weights out, little by little,
# while training goes on with those that are left. That makes lookups cheaper; it does
# not bring the accuracy back.

pruned = quantize_torch_model(
    trained(float_network(), keep=7), X_train, n_bits=3
)
print(
    "7 weights a neuron:",
    accuracy(pruned.forward(X_test)),
    "- accumulators:",
    pruned.accumulator_bits_,
)

# %%
# 4. Training with integers
# -------------------------
# Quantization-aware training rounds in every forward pass, so the weights learn to be
# right when rounded. The layers are those of Brevitas, and the import reads off their
# integers: the program computes exactly what the trained network does.
#
# The widths are chosen so that sums are narrow whatever the input: seven weights of at
# most 3 times seven values of at most 3 are 63 at most, which is six bits, and
# training does not use all of it. Coordinates are cut into thirds, as the board is.


def quantized_network():
    """Return a network of three-bit weights, and of two-bit values between layers."""
    torch.manual_seed(0)

    def linear(n_inputs, n_outputs):
        constant = {
            "weight_scaling_impl_type": "const",
            "weight_scaling_const": 1.0,
        }
        layer = qnn.QuantLinear(
            n_inputs, n_outputs, bias=True, weight_bit_width=3, **constant
        )
        nn.init.uniform_(layer.weight, -1, 1)
        return layer

    constant = {
        "scaling_impl_type": "const",
        "max_val": 1.0,
        "return_quant_tensor": True,
    }
    return nn.Sequential(
        *(
            qnn.QuantIdentity(
                bit_width=3, narrow_range=True, min_val=-1.0, **constant
            ),
            linear(2, 48),
        ),
        *(qnn.QuantReLU(bit_width=2, **constant), linear(48, 48)),
        *(qnn.QuantReLU(bit_width=2, **constant), linear(48, 2)),
    )


aware = quantize_brevitas_qat_model(
    trained(quantized_network(), epochs=80, keep=7), X_train
)
print(
    "trained with integers:",
    accuracy(aware.forward(X_test)),
    "- accumulators:",
    aware.accumulator_bits_,
)

# %%
# Four boundaries
# ---------------
# All of them are of integers in the clear, ``fhe="disable"``, but for the first. What
# runs encrypted are the same integers.

points = (
    np.stack(np.meshgrid(*[np.linspace(-0.03, 1.03, 90)] * 2), axis=-1)
    .reshape(-1, 2)
    .astype(np.float32)
)
pictures = {
    "float": net(torch.from_numpy(points)).detach().numpy(),
    "3 bits after training": after.forward(points),
    "the same, pruned": pruned.forward(points),
    "trained with integers": aware.forward(points),
}
fig, axes = plt.subplots(
    1, 4, figsize=(10, 2.8), layout="constrained", sharex=True, sharey=True
)
for ax, (name, scores) in zip(axes, pictures.items(), strict=True):
    colours = np.argmax(scores, axis=1).reshape(90, 90)
    ax.imshow(
        colours,
        extent=[-0.03, 1.03] * 2,
        origin="lower",
        cmap=ListedColormap(["#c9dde4", "#f3d3bb"]),
    )
    ax.scatter(
        *X_test.T, c=y_test, s=3, cmap=ListedColormap(["#1f6f8b", "#d9772b"])
    )
    ax.set_title(name, fontsize="medium")
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# 5. Encrypted
# ------------
# Compiling makes a circuit of the program. A few points run on ciphertexts, and are
# the clear ones to the last integer.

aware.compile()
few = X_test[:2]
encrypted = aware.forward(few, fhe="execute")
print("encrypted equals clear:", np.array_equal(encrypted, aware.forward(few)))

# %%
# What it costs
# -------------
# ``report()`` has a line for each layer: the width of its sums, and whether that is
# proven for every input.

print(aware.report())
print(aware.cost_)

# %%
# The whole study has 10,000 points and 100 neurons. These are means over ten seeds,
# accuracy on 500 points held out; knowing the squares is right on 0.956 of them
# (``python -m benchmarks.networks.checkerboard``).
#
# ========================  ==============  =====  ========  ===========
# 3 bits                    weights         float  integers  accumulator
# ========================  ==============  =====  ========  ===========
# after training, 10        all             0.767  0.678     6.8 bits
# after training, 30        all             0.937  0.763     8.0
# after training, 100       all             0.951  0.807     9.3
# after training, 100       10 a neuron     0.926  0.771     7.9
# after training, 100       30 a neuron     0.949  0.804     8.9
# trained as integers, 100  30 a neuron     0.956  0.956     6.0, proven
# ========================  ==============  =====  ========  ===========
