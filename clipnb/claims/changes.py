"""What changed in the protocols of several experiments at once."""

LENGTH_IS_A_SETTING = (
    "How long the model trains is a setting now. So the small settings take less than a minute, "
    "and the effect can be measured at smaller budgets. In full, the experiment does what version "
    "1 did, and its margin and its rule are the same. The verdict of version 1 was known."
)
