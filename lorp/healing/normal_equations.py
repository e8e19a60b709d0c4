"""Pairs of inputs and targets -> the linear map between them, by ridge regression on sums alone.

Shapes: T tokens, F inputs, D outputs.
"""

from dataclasses import dataclass

import torch


@dataclass(kw_only=True)
class NormalEquations:
    """What weighted least squares needs of any number of tokens; the tokens themselves are not kept.

    For weights w, inputs A and targets Y these are sums over tokens: `w^2 A^T A`, `w^2 A^T Y` and `w^2 |Y|^2`, in
    float64.

    Attributes:
        gram_FF: float64.
        cross_FD: float64.
        energy: Of the targets.
    """

    gram_FF: torch.Tensor
    cross_FD: torch.Tensor
    energy: float = 0.0

    def add(self, inputs_TF: torch.Tensor, targets_TD: torch.Tensor, weights_T: torch.Tensor) -> None:
        """Adds tokens; products of one call are taken in the inputs' precision."""
        a_TF, y_TD = inputs_TF * weights_T[:, None], targets_TD * weights_T[:, None]
        self.gram_FF += a_TF.T @ a_TF
        self.cross_FD += a_TF.T @ y_TD
        self.energy += float(y_TD.double().square().sum())

    @property
    def finite(self) -> bool:
        """Whether there is no token that is infinite or no number."""
        return bool(torch.isfinite(self.gram_FF).all() and torch.isfinite(self.cross_FD).all())

    def solve(self, ridge: float) -> torch.Tensor:
        """F x D, the X that minimises `sum w^2 |A X - Y|^2 + ridge * mean(diag(w^2 A^T A)) * |X|^2`."""
        held_back_FF = self.gram_FF.clone()
        diagonal_F = held_back_FF.diagonal()
        diagonal_F += ridge * diagonal_F.mean() or 1.0
        return torch.cholesky_solve(self.cross_FD, torch.linalg.cholesky(held_back_FF))

    def error(self, map_FD: torch.Tensor) -> float:
        """`sum w^2 |A X - Y|^2` as a share of `sum w^2 |Y|^2`: 1 for a map that is zero."""
        explained = 2 * (map_FD * self.cross_FD).sum() - (map_FD * (self.gram_FF @ map_FD)).sum()
        return 1.0 - float(explained) / self.energy if self.energy else 1.0


def no_tokens(num_inputs: int, num_outputs: int, device: torch.device) -> NormalEquations:
    """Sums over nothing yet."""
    return NormalEquations(
        gram_FF=torch.zeros(num_inputs, num_inputs, dtype=torch.float64, device=device),
        cross_FD=torch.zeros(num_inputs, num_outputs, dtype=torch.float64, device=device),
    )
