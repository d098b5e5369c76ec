"""Statistics of batch normalisation for averaged weights, as in stochastic weight averaging (Izmailov et al. 2018)."""

from collections.abc import Iterable

import torch


def measure_statistics(network: torch.nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Give every batch normalisation the plain mean of its statistics over `batches`, in place.

    Those gathered on the way belong to other weights: an average that keeps them answers as no network ever did.
    Parameters, momenta and the training mode stay as they are; nothing happens where no layer normalises.
    """
    layers = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    momenta, training = [layer.momentum for layer in layers], network.training
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches instead of a moving one
    with torch.no_grad():
        network.train()
        for batch in batches:
            network(batch)
        network.train(training)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
