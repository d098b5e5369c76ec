"""From labels of every origin to one table per task: splits, the ledger of human decisions, the merge, acceptance.

Works on tables and knows no model.
"""
