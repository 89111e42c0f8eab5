"""The methods by which an empirical kernel is computed, a frozen object each."""
