"""Every selector once more, written from the method's description alone: slow, plain and exact.

The selectors in `lorp/selection` are compared with this file. It shares no code with them and no arithmetic either:
sums and means are fractions, so a tie here is a tie in the numbers given, never an accident of rounding.
"""

from fractions import Fraction

Matrix = list[list[float]]


def oracle_plan(
    method: str, similarity: Matrix, clusters: list[list[int]], count: int, criterion: str = "similarity"
) -> list[int] | None:
    """The blocks that `method` removes, ascending; None where it cannot remove exactly `count`.

    `similarity` is N x N, over the inputs of N blocks: as the last block always stays, no baseline needs the boundary
    behind it. `clusters` lists the blocks of each cluster, in cluster order; only LoRP looks at them.
    """
    num_blocks = len(similarity)
    if method == "lorp":
        removed = _lorp(similarity, clusters, num_blocks, count, criterion)
    elif method == "shortgpt":
        removed = _shortgpt(similarity, num_blocks, count)
    elif method == "streamline":
        removed = _streamline(similarity, num_blocks, count)
    else:
        raise ValueError(method)
    if count < 1 or len(removed) != count:
        return None
    return sorted(removed)


def _lorp(similarity: Matrix, clusters: list[list[int]], num_blocks: int, count: int, criterion: str) -> list[int]:
    assert sorted(block for members in clusters for block in members) == list(range(num_blocks))
    order = {"similarity": _most_redundant_first, "residual-variance": _least_missed_first}[criterion]
    queues = [order(similarity, members, num_blocks) for members in clusters]

    removed: list[int] = []
    for queue in queues:  # stage 1
        if queue and len(removed) < count:
            removed.append(queue.pop(0))

    while len(removed) < count:  # stage 2
        chosen = None
        best = None
        for number, members in enumerate(clusters):
            if not queues[number]:
                continue
            score = _mean_pairwise(similarity, [block for block in members if block not in removed])
            if chosen is None or _is_greater(score, best):
                chosen, best = number, score
        if chosen is None:
            break
        removed.append(queues[chosen].pop(0))
    return removed


def _most_redundant_first(similarity: Matrix, members: list[int], num_blocks: int) -> list[int]:
    redundancy = {}
    for block in members:
        if block in {0, num_blocks - 1}:
            continue
        others = [Fraction(similarity[block][other]) for other in members if other != block]
        redundancy[block] = sum(others, Fraction(0)) / len(others) if others else Fraction(0)
    order = []
    while redundancy:
        best = None
        for block in sorted(redundancy):
            if best is None or redundancy[block] > redundancy[best]:
                best = block
        assert best is not None
        order.append(best)
        del redundancy[best]
    return order


def _least_missed_first(similarity: Matrix, members: list[int], num_blocks: int) -> list[int]:
    order = []
    kept = sorted(members)
    while len(kept) > 1:
        best = None
        least = None
        for block in kept:
            if block in {0, num_blocks - 1}:
                continue
            left = _residual_variance(similarity, members, [other for other in kept if other != block])
            if least is None or left < least:
                best, least = block, left
        if best is None:
            break
        order.append(best)
        kept.remove(best)
    return order


def _residual_variance(similarity: Matrix, members: list[int], kept: list[int]) -> Fraction:
    total = Fraction(0)
    for member in members:
        nearest = max(similarity[member][block] for block in kept)
        total += 1 - Fraction(nearest)
    return total / len(members)


def _mean_pairwise(similarity: Matrix, blocks: list[int]) -> Fraction | None:
    """None stands for minus infinity: fewer than two blocks have no pair."""
    total = Fraction(0)
    pairs = 0
    for first in blocks:
        for second in blocks:
            if first < second:
                total += Fraction(similarity[first][second])
                pairs += 1
    return total / pairs if pairs else None


def _is_greater(score: Fraction | None, best: Fraction | None) -> bool:
    if score is None:
        return False
    return best is None or score > best


def _shortgpt(similarity: Matrix, num_blocks: int, count: int) -> list[int]:
    influence_order = []
    for block in range(1, num_blocks - 1):
        influence_order.append((-similarity[block][block + 1], block))
    influence_order.sort()
    return [block for _, block in influence_order[: max(count, 0)]]


def _streamline(similarity: Matrix, num_blocks: int, count: int) -> list[int]:
    best = None
    for start in range(1, num_blocks):
        if start + count - 1 > num_blocks - 2:
            break
        if best is None or similarity[start][start + count] > similarity[best][best + count]:
            best = start
    return [] if best is None else list(range(best, best + count))
