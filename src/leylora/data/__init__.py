"""Instruction sets and questions on parsed laws, verified, mixed, split and written as a dataset with its card."""
