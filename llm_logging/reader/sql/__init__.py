"""The steps of a question as SQL: select, filter, fold, cost, aggregate, percentiles, quality."""
