"""One of many who move an alias of one name: `python moves.py NAME ROUNDS SEED`; prints what each round came to."""

import json
import random
import sys

from flows.promote import PromotionSpec, run_promote
from flows.rollback import RollbackSpec, run_rollback
from lorp.errors import InputError
from lorp.promotion import PromotionPolicy
from tasks.workspace import workspace


def main() -> None:
    name, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance, places = random.Random(seed), workspace()
    policy = PromotionPolicy(max_ratio_to_production=None)
    for _ in range(rounds):
        try:
            if chance.random() < 0.6:
                asked = PromotionSpec(name=name, version=chance.choice((1, 2, 3)), asked_by=str(seed))
                outcome = run_promote(asked, policy, places)
            else:
                outcome = run_rollback(RollbackSpec(name=name, asked_by=str(seed)), places)
        except InputError as fault:  # nothing to go back to
            outcome = {"state": "Nothing", "why": fault.reason}
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
