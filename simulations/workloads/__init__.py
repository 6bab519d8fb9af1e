"""What happens to a simulated network from outside: people who come, go, call and move, by figures that were measured."""
