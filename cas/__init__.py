"""The cost-aware scheduler: which model, at what price, within which budget."""
