"""
From a torch network to an encrypted one
========================================

Five steps on a board of four by four squares: a network in floats, its integers after training, fewer weights, training *with* integers,
and the encrypted run. The board is a hard test, for every corner of it needs precision, and a few bits have little.
Each step is drawn as the decision boundary that is left.
"""

# %%
# The board
# ---------
# Points of a grid, jittered; the label is the colour of the square that a point came from. So no model can be right on
# every point near an edge.

import brevitas.nn as qnn
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from torch import nn
from torch.nn.utils import prune

from skfhe.importers import quantize_brevitas_qat_model, quantize_torch_model

axis = np.linspace(0, 1, 50)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
y = np.bitwise_xor(*(np.rint(3 * grid).astype(int) % 2).T)
rng = np.random.default_rng(0)
X = (grid + rng.normal(0, 0.01, grid.shape)).astype(np.float32)
held_out = rng.random(len(X)) < 0.2
X_train, y_train, X_test, y_test = X[~held_out], y[~held_out], X[held_out], y[held_out]
X_train, X_test = 3 * X_train, 3 * X_test  # in units of a square


def trained(net, epochs=60, lr=0.01, keep=None, seed=0):
    """Train a network; with ``keep``, each neuron keeps that many weights, the largest, from a third of the way on."""
    torch.manual_seed(seed)
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2 * lr, total_steps=epochs * 16)
    rows, labels = torch.from_numpy(X_train), torch.from_numpy(y_train)
    net.train()
    for epoch in range(epochs):
        if keep and epoch == epochs // 3:
            for layer in layers[1:]:
                smallest = layer.weight.abs().argsort(dim=1)[:, :-keep]
                prune.custom_from_mask(
                    layer, "weight", torch.ones_like(layer.weight).scatter(1, smallest, 0)
                )
        for batch in torch.randperm(len(rows)).tensor_split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(rows[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def accuracy(scores):
    """Return the share of rows held out whose larger score is that of their class."""
    return round(float(np.mean(np.argmax(scores, axis=1) == y_test)), 3)


# %%
# 1. Floats
# ---------
# Two hidden layers of 24 neurons: a network as anybody would write it.


def float_network():
    """Return a network that is not trained yet."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))


net = trained(float_network())
float_scores = net(torch.from_numpy(X_test)).detach().numpy()
print("float:", accuracy(float_scores))

# %%
# 2. Integers after training
# --------------------------
# Encryption computes with integers. Rounding all weights and all values between layers to three bits is called post-training
# quantization. Three bits are eight values, and the network was never told.

after = quantize_torch_model(net, X_train, n_bits=3)
print("3 bits after training:", accuracy(after.forward(X_test)), "- accumulators:", after.accumulator_bits_)

# %%
# The *accumulators* are the sums that each neuron's activation reads. An activation is a table lookup, whose price doubles with
# each bit, and more: at 8 bits one takes 0.2 seconds, at 4 bits five milliseconds.
#
# 3. Fewer weights
# ----------------
# A sum of fewer products is narrower. Pruning takes weights out, and training goes on with those that are left.

pruned = quantize_torch_model(trained(float_network(), keep=6), X_train, n_bits=3)
print("6 weights a neuron:", accuracy(pruned.forward(X_test)), "- accumulators:", pruned.accumulator_bits_)

# %%
# 4. Training with integers
# -------------------------
# Quantization-aware training rounds in every forward pass, so the weights learn to be right when rounded. The layers are those of
# Brevitas, and the import reads off their integers: the program computes exactly what the trained network does.


def quantized_network():
    """Return a network of three-bit weights and values."""
    torch.manual_seed(0)

    def linear(n_inputs, n_outputs):
        return qnn.QuantLinear(n_inputs, n_outputs, bias=True, weight_bit_width=3)

    return nn.Sequential(
        *(qnn.QuantIdentity(bit_width=6, return_quant_tensor=True), linear(2, 24)),
        *(qnn.QuantReLU(bit_width=2, return_quant_tensor=True), linear(24, 24)),
        *(qnn.QuantReLU(bit_width=2, return_quant_tensor=True), linear(24, 2)),
    )


aware = quantize_brevitas_qat_model(trained(quantized_network(), epochs=90, keep=6), X_train)
print("trained with integers:", accuracy(aware.forward(X_test)), "- accumulators:", aware.accumulator_bits_)

# %%
# Four boundaries
# ---------------
# All of them are of integers in the clear, ``fhe="disable"``, but for the first. What runs encrypted are the same integers.

points = np.stack(np.meshgrid(*[np.linspace(-2.1, 2.1, 90)] * 2), axis=-1).reshape(-1, 2).astype(np.float32)
pictures = {
    "float": net(torch.from_numpy(points)).detach().numpy(),
    "3 bits after training": after.forward(points),
    "the same, pruned": pruned.forward(points),
    "trained with integers": aware.forward(points),
}
fig, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained", sharex=True, sharey=True)
for ax, (name, scores) in zip(axes, pictures.items(), strict=True):
    colours = np.argmax(scores, axis=1).reshape(90, 90)
    ax.imshow(colours, extent=[-2.1, 2.1] * 2, origin="lower", cmap=ListedColormap(["#c9dde4", "#f3d3bb"]))
    ax.scatter(*X_test[:250].T, c=y_test[:250], s=3, cmap=ListedColormap(["#1f6f8b", "#d9772b"]))
    ax.set_title(name, fontsize="medium")
    ax.set(xticks=[], yticks=[])
plt.show()

# %%
# 5. Encrypted
# ------------
# Compiling makes a circuit of the program. A few points run on ciphertexts, and are the clear ones to the last integer.

aware.compile()
few = X_test[:2]
encrypted = aware.forward(few, fhe="execute")
print("encrypted equals clear:", np.array_equal(encrypted, aware.forward(few)))

# %%
# What it costs
# -------------
# ``report()`` has a line for each layer: the width of its sums, and whether that is proven for every input.

print(aware.report())
print(aware.cost_)
