"""Multiple-choice tasks: questions are frozen first, so that dense and pruned model answer the same ones.

Task names + evaluation windows -> `Questions` -> `DownstreamEvaluation`, a result an item.
"""
