"""The alternation of policy and student, and what keeps it going."""
