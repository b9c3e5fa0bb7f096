"""TST: a policy learns which augmentation a teacher masters and its student does not, and the student learns from it.

The method of "Teaching What You Should Teach: A Data-Based Distillation Method" (Shao et al., IJCAI 2023).
"""

__version__ = "0.1.0"
