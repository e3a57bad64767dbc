"""What the docstrings of the classifier and the regressor say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["NETWORK"]

NETWORK = COMMON | {
    "parameters_of_network": """\
module__n_layers : int, default=2
    Linear layers, the output layer included: 2 means one hidden layer.
module__n_w_bits : int or "auto", default="auto"
    Bits of the hidden layers' weights, on a grid symmetric about zero: 2 means -1, 0 and 1. "auto" takes
    3; with bounded accumulators 2, and up to 4 for so few inputs, such as five bits, that a neuron could not
    use its accumulator.
module__n_a_bits : int or "auto", default="auto"
    Bits of the hidden activations. "auto" takes 3, -3 to 3, and with bounded accumulators 2.
module__accumulator : {"auto", "wrapping", "bounded"}, default="auto"
    What becomes of the sums that lookups read. "wrapping" counts them modulo ``2**(P + 1)``, with P
    the ``module__n_accum_bits``: no weight is pruned for their sake, and a lookup of P bits reads all
    ``2**(P + 1)`` residues. "bounded" prunes the weights so that no sum leaves an interval of ``2**P``
    integers, for any univariate activation. Encrypted results equal the clear ones in both, for every input.
    "auto" takes "wrapping", which needs fewer and narrower lookups, and "bounded" with a
    ``module__activation_function`` of your own or ``rounding_threshold_bits``, and where half of the features
    that vary have at most 9 values.
module__n_accum_bits : int or "auto", default="auto"
    Bits that every lookup reads, guaranteed for every input. The time of an encrypted prediction depends on
    little else. "auto" takes 3, and with bounded accumulators 4.
module__n_hidden_neurons_multiplier : float or "auto", default="auto"
    Neurons of a hidden layer, in units of ``sqrt(n_features * max(2, n_outputs))`` or the cube root of
    the number of rows (the sum of their weights), whichever is larger; at least 2. Each costs one lookup.
    "auto" means 0.25 and 0.025 more for each class or target, up to 0.5, and 0.75 with bounded accumulators;
    twice as many where half of the features that vary have at most 9 values.
module__activation_function : type or "auto", default="auto"
    Class of a univariate torch activation. It is folded into lookups, so all cost the same. "auto" takes
    ``torch.nn.ReLU`` with bounded accumulators, and ``skfhe.neural_network.TentWave``, the only one that
    suits them, with wrapping ones.
module__n_input_bits : int or "auto", default="auto"
    Bits that each feature is quantized to before it is encoded by its thresholds. "auto" takes 5, and 6 with
    wrapping accumulators from 5,000 rows on.
module__n_output_w_bits : int, default=3
    Bits of the output layer's weights.
module__n_output_bits : int or "auto", default="auto"
    Bits of the output layer's accumulators, guaranteed. No lookup reads them, but from 7 bits
    on they can make the hidden layer's lookups dearer, for those must be more precise. "auto" means 6,
    and 7 where half of the features that vary have at most 9 values.
module__n_thresholds_per_neuron : int or "auto", default="auto"
    The first hidden layer reads this many of the inputs' thresholds for each of its neurons, on average;
    neurons can share them. Each is a ciphertext that the client has to make. "auto" takes 8, and with bounded
    accumulators 4.
module__input_noise : float or "auto", default="auto"
    Standard deviation of the noise added to the inputs in training, in quantization steps. "auto" is a
    tenth of a feature's range, and falls with the cube root of the rows from 1000 rows on; with wrapping
    accumulators by the rows themselves, too, from 2000 on. Features of at most 9 values get none, those of
    more than 16 all of it, and those between a part.
module__skip_connection : bool, default=True
    Add a linear function of the features to the scores, around the hidden layers. It takes no lookup, and
    the network needs fewer neurons. The client adds the two parts, so it sees them apart.
max_epochs : int, default=60
    Passes over the training data.
lr : float, default=0.01
    Learning rate to begin with.
lr_schedule : {"cosine", "constant"}, default="cosine"
    How the learning rate goes on, where ``callbacks`` have no ``LRScheduler``.
batch_size : int or "auto", default="auto"
    Rows of a training step. "auto" means 32, and from 16,000 rows on a 500th of them, up to 200.
optimizer : type, default=torch.optim.AdamW
    Class of a torch optimizer; its parameters are given as ``optimizer__*``.
criterion : type, default=None
    Class of a torch loss on the scores, which takes ``reduction="none"``; None takes
    ``torch.nn.{loss}``. Its parameters are given as ``criterion__*``{parameters_of_loss}.
callbacks : list, default=None
    skorch callbacks, such as ``skorch.callbacks.EarlyStopping``. They are called, and ``net_.history``
    begins, when the budgets have settled, after a quarter of ``max_epochs``, rounded up; only
    ``on_grad_computed`` is called before. What restores weights of another training, such as
    ``LoadInitState``, does not fit the network.
train_split : callable, default=None
    skorch split into training and validation rows, such as ``skorch.dataset.ValidSplit(5)`` or
    ``skorch.helper.predefined_split(dataset)``. A ``ValidSplit`` by number draws from shuffled rows,
    anything else sees them in the order of ``fit``.
device : str, default="cpu"
    Torch device to train on.
rounding_threshold_bits : int or dict, default=None
    Round bounded accumulators wider than this many bits before they are looked up. ``{"n_bits": k, "method":
    "approximate"}`` does so at no cost, but may take the neighbouring cell near a tie, so that encrypted
    results can differ from the clear ones there; an int means ``"method": "exact"``.
verbose : int, default=0
    1 prints skorch's training log.
random_state : int, RandomState instance or None, default=None
    Seeds everything random in training; an int makes ``fit`` reproducible to the bit.
early_stopping : bool, default=False
    Hold rows out, stop when their {score} has not improved by 1e-4 for more than ``n_iter_no_change``
    epochs, and keep the best network. Counted from when the budgets have settled.
validation_fraction : float, default=0.1
    Part of the rows that ``early_stopping`` holds out{how_held_out} unless ``train_split`` does.
n_iter_no_change : int, default=10
    Epochs without improvement that ``early_stopping`` bears.
warm_start : bool, default=False
    Let ``fit`` go on training the network that there is, with its encoding and the full constraint, for
    ``max_epochs`` more.""",
    "open_parameters": """\
**kwargs
    ``optimizer__*``, ``criterion__*``, ``iterator_train__*``, ``iterator_valid__*``, ``callbacks__*``.""",
    "attributes_of_network": """\
program_ : Program
    The quantized network on integers: what runs encrypted.
encoder_ : ThermometerEncoder
    Turns rows into the bits that the program takes, and with a skip connection the levels. Values beyond the
    range seen in training are clipped.
decoder_ : SummedDecoders
    Turns the integers that the program returns into scores, those of the skip connection added.
{head_}
net_ : skorch.NeuralNet
    The fitted skorch net. Its ``history`` begins when the budgets have settled.
n_iter_ : int
    Epochs trained, those in which the budgets shrink and those of earlier warm starts among them.
loss_curve_ : list of float, one for each epoch
    Mean loss of the training rows in each epoch.
best_loss_ : float or None
    The least of them; None with ``early_stopping``.
validation_scores_ : list of float, one for each epoch, or None
    The {score} of the rows held out after each epoch, with ``early_stopping``.
best_validation_score_ : float or None
    The best of them since the budgets had settled, which the network has.
module_ : BudgetedMLP
    The Brevitas network. In double precision and evaluation mode it equals the program.
pruning_factor_ : int
    Largest number of non-zero weights of one hidden neuron; with wrapping accumulators all of its inputs.
accumulator_bits_ : list of int
    Proven bits that the lookups read of every accumulator, in layer order.
output_bits_ : list of int
    Proven bits of every output.
{cost_}
{fhe_circuit_}
n_features_in_ : int
    Features seen in ``fit``.
feature_names_in_ : ndarray of str
    Their names, where ``X`` has them.""",
    "references": """\
References
----------
Stoian et al., "Deep Neural Networks for Symbolic Inference with TFHE", CSCML 2023.
Colbert et al., "A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance", ICCV 2023.""",
}
"""Of the classes: runs of entries, which ``score``, ``loss`` and other words of each class go into."""
