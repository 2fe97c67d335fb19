"""How it is computed: recipes, data, the float64 oracle and one folder per framework."""
